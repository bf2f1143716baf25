package access

import "time"

// Role is what a caller may do in an organization. The zero value allows nothing.
type Role string

// The roles; each may do what those before it may.
const (
	Viewer Role = "viewer" // reads
	Member Role = "member" // executes tools
	Admin  Role = "admin"  // writes definitions and keys
)

// Key is an API key as it is stored: the secret itself is not.
type Key struct {
	ID                string    `json:"id"`
	Name              string    `json:"name"`
	Organization      string    `json:"organization"`
	Role              Role      `json:"role"`
	Tools             []string  `json:"tools,omitempty"`
	RequestsPerMinute int       `json:"requestsPerMinute,omitzero"`
	CreatedAt         time.Time `json:"createdAt,omitzero"`
	ExpiresAt         time.Time `json:"expiresAt,omitzero"`
	RevokedAt         time.Time `json:"revokedAt,omitzero"`
	Hash              string    `json:"hash,omitempty"`
	Hint              string    `json:"hint,omitempty"`
}
