package control

import "time"

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

// NameWithin has users looked up within a time.
func (s *Server) NameWithin(d time.Duration) { s.names.within = d }

// ReadWithin has clients of s read their answers within a time.
func (s *Server) ReadWithin(d time.Duration) { s.readFor = d }

const MaxPerUser = maxPerUser
