package hrpc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
)

// Calls of 1, 16 and 64 goroutines over one connection, with a server that only reads and answers, beside frames of the
// same length through the same socket with neither client nor codec: what is between them is ours.
//
//	go test -run '^$' -bench 'Call|Echo' ./internal/hrpc
func BenchmarkCall(b *testing.B) {
	for _, inFlight := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d in flight", inFlight), func(b *testing.B) {
			conn := dialLoopback(b)
			req := &pb.RenewDelegationTokenRequestProto{Token: benchToken()}
			b.ReportAllocs()
			callers(b, inFlight, func() error {
				var answer pb.RenewDelegationTokenResponseProto
				return conn.Call(context.Background(), "renewDelegationToken", req, &answer)
			})
		})
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, inFlight := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d in flight", inFlight), func(b *testing.B) {
			client := loopback(b, func(c net.Conn) { _, _ = io.Copy(c, c) })
			frame := make([]byte, benchFrame)
			places := make(chan struct{}, inFlight)
			var failed atomic.Pointer[error]
			go func() {
				in := bufio.NewReader(client)
				got := make([]byte, benchFrame)
				for range b.N {
					if _, err := io.ReadFull(in, got); err != nil {
						failed.Store(&err)
					}
					<-places
				}
			}()
			b.ResetTimer()
			for range b.N {
				places <- struct{}{}
				if _, err := client.Write(frame); err != nil {
					b.Fatal(err)
				}
			}
			for range inFlight {
				places <- struct{}{}
			}
			b.StopTimer()
			if err := failed.Load(); err != nil {
				b.Fatal(*err)
			}
		})
	}
}

// The codec alone: a request made, an answer read.
func BenchmarkCodec(b *testing.B) {
	answer := encode(responseHeader(7), &pb.RenewDelegationTokenResponseProto{NewExpiryTime: new(uint64(1795711198557))})
	b.Run("answer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, rest, err := hrpc.ParseAnswer(answer[4:])
			if err == nil {
				err = hrpc.LastMessage(rest, &pb.RenewDelegationTokenResponseProto{})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

const benchFrame = 330 // bytes; about a renewal

func benchToken() *pb.TokenProto {
	return &pb.TokenProto{Identifier: make([]byte, 100), Password: make([]byte, 20), Kind: new("HDFS_DELEGATION_TOKEN"), Service: new("127.0.0.1:8020")}
}

// callers makes b.N calls from a number of goroutines.
func callers(b *testing.B, inFlight int, call func() error) {
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range inFlight {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
}

// loopback connects to a server of one connection, as TCP.
func loopback(b *testing.B, serve func(net.Conn)) net.Conn {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		c, err := lis.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(c)
	})
	client, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		client.Close()
		lis.Close()
		served.Wait()
	})
	return client
}

// dialLoopback logs in by token, in clear, and then has each call answered by the same bytes but for its id.
func dialLoopback(b *testing.B) *hrpc.Conn {
	b.Helper()
	client := loopback(b, func(c net.Conn) {
		p := &peer{Writer: c, in: bufio.NewReader(c)}
		if err := p.login(); err != nil {
			b.Errorf("server: %v", err)
			return
		}
		out := bufio.NewWriter(c)
		head, frame := make([]byte, 4), make([]byte, 4096)
		for {
			if _, err := io.ReadFull(p.in, head); err != nil {
				return
			}
			frame = frame[:binary.BigEndian.Uint32(head)]
			if _, err := io.ReadFull(p.in, frame); err != nil {
				return
			}
			header := &pb.RpcRequestHeaderProto{}
			if err := decode(frame, header); err != nil {
				b.Errorf("server: %v", err)
				return
			}
			_, _ = out.Write(encode(responseHeader(header.GetCallId()), &pb.RenewDelegationTokenResponseProto{NewExpiryTime: new(uint64(1795711198557))}))
			if p.in.Buffered() == 0 {
				_ = out.Flush()
			}
		}
	})
	cfg := hrpc.Config{
		Protocol: hrpc.ClientProtocol, Token: &hrpc.Token{Identifier: []byte("id"), Password: password},
		Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}
	conn, err := hrpc.Dial(b.Context(), cfg, addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}
