package access

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxCredential bounds a credential, in bytes.
const maxCredential = 8 << 10

// credential is what a request came with.
type credential struct {
	secret string
	isKey  bool
	sum    [sha256.Size]byte // SHA-256 of the secret
}

// credentialOf reads the one credential of a request. Its errors say how a request
// has to look, nothing about a credential.
func credentialOf(header http.Header) (credential, error) {
	authorization, keys := header["Authorization"], header["X-Api-Key"]
	switch {
	case len(authorization)+len(keys) == 0:
		return credential{}, unauthorized("Missing credentials: send Authorization: Bearer <API key or token>")
	case len(authorization) > 0 && len(keys) > 0:
		return credential{}, unauthorized("Send one of Authorization and X-API-Key, not both")
	case len(authorization)+len(keys) > 1:
		return credential{}, unauthorized("Send one Authorization or X-API-Key header, not several")
	case len(keys) == 1:
		return newCredential(keys[0], true)
	}
	scheme, secret, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return credential{}, unauthorized("Send Authorization: Bearer <API key or token>")
	}
	secret = strings.TrimLeft(secret, " ") // 1*SP (RFC 9110, section 11.4)
	return newCredential(secret, strings.HasPrefix(secret, keyPrefix))
}

func newCredential(secret string, isKey bool) (credential, error) {
	if secret == "" {
		return credential{}, unauthorized("The credential is empty: send Authorization: Bearer <API key or token>")
	}
	if len(secret) > maxCredential {
		return credential{}, unauthorized("The credential is longer than 8192 bytes")
	}
	return credential{secret, isKey, sha256.Sum256([]byte(secret))}, nil
}

func unauthorized(message string) error {
	return errclass.NewAPIError(errclass.CodeUnauthorized, "%s", message)
}
