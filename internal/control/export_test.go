package control

// Patterns are all requests that a server answers.
func Patterns() []string {
	var all []string
	for _, rt := range routes {
		all = append(all, rt.pattern)
	}
	return all
}

// PeerOf is what servers ask about their connections.
var PeerOf = peerOf

const MaxPerUser = maxPerUser
