package access

import "fmt"

// Role is what a caller may do in an organization. The zero value allows nothing.
type Role string

// The roles; each may do what those before it may.
const (
	Viewer Role = "viewer" // reads
	Member Role = "member" // executes tools
	Admin  Role = "admin"  // writes definitions and keys
)

var ranks = map[Role]int{Viewer: 1, Member: 2, Admin: 3}

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if ranks[Role(name)] == 0 {
		return "", fmt.Errorf("the role must be %s, %s or %s", Viewer, Member, Admin)
	}
	return Role(name), nil
}

// Allows tells whether a holder of r may do what need is needed for.
func (r Role) Allows(need Role) bool {
	return ranks[need] > 0 && ranks[r] >= ranks[need]
}
