package hrpc

import pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"

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
