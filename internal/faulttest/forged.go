package faulttest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
)

// frame is messages as Hadoop RPC sends them: a length, then each with its own.
func frame(messages ...proto.Message) []byte {
	b := make([]byte, 4)
	for _, m := range messages {
		raw, err := proto.Marshal(m)
		if err != nil {
			panic(err) // a message of this file's own
		}
		b = protowire.AppendBytes(b, raw)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// answerTo is the header of an answer to a call.
func answerTo(call int32) *pb.RpcResponseHeaderProto {
	return &pb.RpcResponseHeaderProto{
		CallId: proto.Uint32(uint32(call)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum(), ServerIpcVersionNum: proto.Uint32(9),
	}
}

// forge is a server's refusal in clear, as a man in the middle writes it.
func forge(call int32, class hrpc.Class) []byte {
	h := answerTo(call)
	h.Status, h.ErrorDetail = pb.RpcResponseHeaderProto_ERROR.Enum(), pb.RpcResponseHeaderProto_ERROR_APPLICATION.Enum()
	h.ExceptionClassName, h.ErrorMsg = proto.String(string(class)), proto.String("forged")
	return frame(h)
}

// callOf is the id of the call that a server's message answers; those of a login, and
// of all that is wrapped, are negative.
func callOf(message []byte) int32 {
	raw, n := protowire.ConsumeBytes(message[4:])
	h := &pb.RpcResponseHeaderProto{}
	if n < 0 || proto.Unmarshal(raw, h) != nil {
		return -1
	}
	return int32(h.GetCallId())
}

// isWrap reports whether a server's message is one of a protected connection.
func isWrap(message []byte) bool {
	_, n := protowire.ConsumeBytes(message[4:])
	raw, k := protowire.ConsumeBytes(message[4+max(n, 0):])
	m := &pb.RpcSaslProto{}
	return n > 0 && k > 0 && proto.Unmarshal(raw, m) == nil && m.GetState() == pb.RpcSaslProto_WRAP
}

// hostile is what is no answer.
var hostile = []struct {
	name  string
	bytes []byte
}{
	{"a frame of 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
	{"HTTP", []byte("HTTP/1.1 404 Not Found\r\n\r\n")},
	{"an empty frame", []byte{0, 0, 0, 0}},
	{"a negative varint", []byte("\x00\x00\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
	{"an answer to a call never made", frame(answerTo(77), &pb.GetDelegationTokenResponseProto{})},
	{"an answer to nobody", frame(answerTo(-5), &pb.GetDelegationTokenResponseProto{})},
}

func nonsense(t *testing.T, c Cluster) {
	p := proxy(t, c.NameNode)
	for _, a := range c.attempts(t, p) {
		for k := range c.answer(t, p, a) + 1 {
			for _, h := range hostile {
				what := fmt.Sprintf("%s in place of message %d (%s)", h.name, k, a.name)
				p.Use(once(faultproxy.Fault{ToClient: faultproxy.Messages(0, func(i int, message []byte) ([]byte, error) {
					switch {
					case i == k:
						return h.bytes, nil
					case i > k:
						return nil, nil
					}
					return message, nil
				})}))
				before, start := allocated(), time.Now()
				broken(t, what, a.do(t.Context()))
				if took := time.Since(start); took > slack {
					t.Errorf("%s: the attempt took %s, want it to end at once", what, took)
				}
				// The services of the kit share this process and its counts, so that this is a rough bound: a limit of 1 MiB.
				if used := allocated() - before; used > 4<<20 {
					t.Errorf("%s: %d bytes were allocated", what, used)
				}
				recovers(t, p, what, a)
				if t.Failed() {
					return // the others would say the same, and each would take its time
				}
			}
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A bit of each byte that the server says is flipped, one after the other, while a
// token that is alive is renewed. Whatever is made of it, no refusal is taken for the
// server's own, and where integrity is checked no date is another than the server's.
func flips(t *testing.T, c Cluster, protection string) {
	p := proxy(t, c.NameNode)
	token := mustObtain(t, c.provider(t, p))
	client := c.client(t, p)
	renew := func(ctx context.Context) (expires time.Time, err error) {
		conn, err := hrpc.Dial(ctx, client.RPC(""), c.NameNode)
		if err != nil {
			return time.Time{}, err
		}
		defer conn.Close()
		var answer pb.RenewDelegationTokenResponseProto
		err = conn.Call(ctx, "renewDelegationToken", &pb.RenewDelegationTokenRequestProto{Token: &pb.TokenProto{
			Identifier: token.Identifier, Password: token.Password, Kind: proto.String(token.Kind), Service: proto.String(token.Service),
		}}, &answer)
		return time.UnixMilli(int64(answer.GetNewExpiryTime())), err
	}
	a := attempt{"renew", func(ctx context.Context) error { _, err := renew(ctx); return err }}
	var length atomic.Int64
	p.Use(once(faultproxy.Fault{ToClient: func(dst io.Writer, src io.Reader) error {
		_, err := io.Copy(io.MultiWriter(counter{&length}, dst), src)
		return err
	}}))
	recovers(t, p, "nothing yet", a)
	if length.Load() < 256 {
		t.Fatalf("the server says %d bytes, which is no login and call", length.Load())
	}
	var believed, refused int
	for n := range length.Load() {
		p.Use(once(faultproxy.Fault{ToClient: faultproxy.Flip(n, 1<<(n%8))}))
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond) // some lengths become longer than what follows
		before := time.Now().Truncate(time.Millisecond)
		expires, err := renew(ctx)
		cancel()
		if err == nil {
			believed++
			if off := expires.Sub(before); protection != "authentication" && (off < c.RenewInterval || off > c.RenewInterval+slack) {
				t.Errorf("byte %d flipped: renewed for %s, want %s", n, off, c.RenewInterval)
			}
			continue
		}
		if remote, ok := errors.AsType[*hrpc.RemoteError](err); ok {
			if refused++; remote.Protected {
				t.Errorf("byte %d flipped: %v counts as the server's own word", n, err)
			}
		}
	}
	t.Logf("of %d flipped bytes %d changed nothing that is looked at, %d became a refusal that nobody need believe", length.Load(), believed, refused)
	p.Use(nil)
	recovers(t, p, "all flips", a)
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// Each answer comes twice, and every second before the one that was to be first.
func answersTwice(t *testing.T, c Cluster, _ string) {
	const calls = 256
	p := proxy(t, c.NameNode)
	client := c.client(t, p)
	var held []byte
	p.Use(func(int) faultproxy.Fault {
		return faultproxy.Fault{ToClient: faultproxy.Messages(0, func(_ int, message []byte) ([]byte, error) {
			switch {
			case callOf(message) < 0:
				return message, nil
			case held == nil:
				held = message
				return nil, nil
			}
			out := append(append(append([]byte{}, message...), message...), held...)
			held = nil
			return append(out, message...), nil
		})}
	})
	conn, err := hrpc.Dial(t.Context(), client.RPC("alice"), c.NameNode)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all sync.WaitGroup
	for n := range calls { // an even number: none is held for ever
		all.Go(func() {
			renewer := fmt.Sprintf("renewer%d", n)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var answer pb.GetDelegationTokenResponseProto
			if err := conn.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, &answer); err != nil {
				t.Error(err)
				return
			}
			id, err := hadooptoken.ParseIdentifier(answer.GetToken().GetKind(), answer.GetToken().GetIdentifier())
			if err != nil || id.Renewer != renewer {
				t.Errorf("asked for renewer %s, got %q, %v", renewer, id.Renewer, err)
			}
		})
	}
	all.Wait()
	// The last repetitions may be under way still.
	if s := conn.Stats(); s.Answers != calls || s.Repeated < calls-2 || s.Unknown > 0 || conn.Err() != nil {
		t.Errorf("%+v, %v, want %d answers and one repetition of each second, twice", s, conn.Err(), calls)
	}
}
