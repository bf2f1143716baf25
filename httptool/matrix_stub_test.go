package httptool_test

var redirectFaults []fault
var compressionFaults []fault
var bodyFaults []fault
var statusFaults []fault
var graphqlFaults []fault
var pageFaults []fault
