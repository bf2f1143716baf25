package openapi

// fromSwagger is filled in below.
func (d *document) fromSwagger() {}
