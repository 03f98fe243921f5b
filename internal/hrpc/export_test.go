package hrpc

import (
	"math"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

// SetClientID fixes what is random otherwise.
func SetClientID(c *Config, id []byte) { c.clientID = id }

// ParseAnswer gives tests the decoder of response headers.
func ParseAnswer(frame []byte) (int32, *pb.RpcResponseHeaderProto, []byte, error) {
	a, err := parseAnswer(frame)
	return a.id, a.head, a.rest, err
}

var (
	ReadFrame   = readFrame
	LastMessage = lastMessage
)

// UseUp has a connection give the last call id to its next call.
func UseUp(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = math.MaxInt32
}
