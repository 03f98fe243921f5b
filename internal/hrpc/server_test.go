package hrpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/internal/sasl/gsstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	addr     = "NN1.lab.test:8020"
	alice    = "alice@LAB.TEST"
	namenode = "nn/nn1.lab.test@LAB.TEST"
)

var password = []byte("twenty bytes of hmac")

// peer is the server's end of one connection, driven by a test's script. A script returns when it has nothing more to
// say; the connection is closed then.
type peer struct {
	io.Writer
	in     *bufio.Reader
	layer  sasl.Layer
	plain  bytes.Buffer
	offer  []sasl.QOP
	got    [][]byte // whole frames as they came, after unwrapping
	opened []byte   // the preamble
}

// dialer returns a dial function that connects each caller to a script of its own, and waits for all at the test's end.
func dialer(t testing.TB, script func(*peer) error) func(context.Context, string, string) (net.Conn, error) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		wg.Go(func() {
			defer server.Close()
			if err := script(&peer{Writer: server, in: bufio.NewReader(server)}); err != nil && !isClosed(err) {
				t.Errorf("server: %v", err)
			}
		})
		return client, nil
	}
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (p *peer) frame(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	frame := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// next reads a frame, inside WRAPs once there is a layer, and decodes as many messages as are given.
func (p *peer) next(messages ...proto.Message) error {
	frame, err := p.frame(readerFunc(p.read))
	if err != nil {
		return err
	}
	p.got = append(p.got, frame)
	return decode(frame[4:], messages...)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (p *peer) read(b []byte) (int, error) {
	if p.layer == nil {
		return p.in.Read(b)
	}
	for p.plain.Len() == 0 {
		outer, err := p.frame(p.in)
		if err != nil {
			return 0, err
		}
		head, wrap := &pb.RpcRequestHeaderProto{}, &pb.RpcSaslProto{}
		if err := decode(outer[4:], head, wrap); err != nil {
			return 0, err
		}
		if head.GetCallId() != -33 || wrap.GetState() != pb.RpcSaslProto_WRAP {
			return 0, fmt.Errorf("call %d in clear on a wrapped connection", head.GetCallId())
		}
		if n := len(wrap.GetToken()); n > 1<<16 {
			return 0, fmt.Errorf("a WRAP of %d bytes, over the announced buffer", n)
		}
		plain, err := p.layer.Unwrap(wrap.GetToken())
		if err != nil {
			return 0, err
		}
		p.plain.Write(plain)
	}
	return p.plain.Read(b)
}

func decode(b []byte, messages ...proto.Message) error {
	for _, m := range messages {
		raw, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := proto.Unmarshal(raw, m); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func encode(messages ...proto.Message) []byte {
	frame := make([]byte, 4)
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		frame = protowire.AppendBytes(frame, b)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

func responseHeader(id int32) *pb.RpcResponseHeaderProto {
	return &pb.RpcResponseHeaderProto{
		CallId: new(uint32(id)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum(), ServerIpcVersionNum: new(uint32(9)),
	}
}

func saslAnswer(m *pb.RpcSaslProto) []byte { return encode(responseHeader(-33), m) }

func failure(id int32, status pb.RpcResponseHeaderProto_RpcStatusProto, class hrpc.Class, text string) []byte {
	h := responseHeader(id)
	h.Status, h.ExceptionClassName, h.ErrorMsg = status.Enum(), new(string(class)), &text
	h.ErrorDetail = pb.RpcResponseHeaderProto_ERROR_APPLICATION.Enum()
	return encode(h)
}

const (
	isError = pb.RpcResponseHeaderProto_ERROR
	isFatal = pb.RpcResponseHeaderProto_FATAL
)

// send writes frames, inside one WRAP if there is a layer.
func (p *peer) send(frames ...[]byte) error {
	all := bytes.Join(frames, nil)
	if p.layer != nil {
		token, err := p.layer.Wrap(all)
		if err != nil {
			return err
		}
		all = saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_WRAP.Enum(), Token: token})
	}
	_, err := p.Write(all)
	return err
}

// negotiate reads the preamble and the first SASL message.
func (p *peer) negotiate() error {
	p.opened = make([]byte, 7)
	if _, err := io.ReadFull(p.in, p.opened); err != nil {
		return err
	}
	return p.next(&pb.RpcRequestHeaderProto{}, &pb.RpcSaslProto{})
}

// login serves TOKEN by DIGEST-MD5 and KERBEROS by a test's context, whichever the client takes, then the context.
func (p *peer) login() error {
	if err := p.authenticate(); err != nil {
		return err
	}
	return p.next(&pb.RpcRequestHeaderProto{}, &pb.IpcConnectionContextProto{})
}

func (p *peer) authenticate() error {
	digest, err := p.offerLogin()
	if err != nil {
		return err
	}
	initiate := &pb.RpcSaslProto{}
	if err := p.next(&pb.RpcRequestHeaderProto{}, initiate); err != nil {
		return err
	}
	if initiate.GetAuths()[0].GetMethod() == "TOKEN" {
		return p.converse(digest, initiate)
	}
	_, acceptor := gsstest.NewPair(alice, namenode)
	return p.converse(sasl.NewGSSServer(acceptor, p.offer...), initiate)
}

// offerLogin reads the first SASL message and offers both ways to log in.
func (p *peer) offerLogin() (*sasl.DigestAcceptor, error) {
	if err := p.negotiate(); err != nil {
		return nil, err
	}
	digest := sasl.DigestServer{Lookup: func([]byte) ([]byte, error) { return password, nil }, Offer: p.offer}.Start()
	challenge, _, err := digest.Step(nil)
	if err != nil {
		return nil, err
	}
	token := &pb.RpcSaslProto_SaslAuth{Method: new("TOKEN"), Mechanism: new("DIGEST-MD5"), Protocol: new(""), ServerId: new("default"), Challenge: challenge}
	kerberos := &pb.RpcSaslProto_SaslAuth{Method: new("KERBEROS"), Mechanism: new("GSSAPI"), Protocol: new("nn"), ServerId: new("nn1.lab.test")}
	offer := &pb.RpcSaslProto{State: pb.RpcSaslProto_NEGOTIATE.Enum(), Auths: []*pb.RpcSaslProto_SaslAuth{token, kerberos}}
	return digest, p.send(saslAnswer(offer))
}

func (p *peer) converse(m sasl.Mechanism, in *pb.RpcSaslProto) error {
	for {
		out, done, err := m.Step(in.GetToken())
		if err != nil {
			return p.send(failure(-33, isFatal, hrpc.SASL, err.Error()))
		}
		answer := &pb.RpcSaslProto{State: pb.RpcSaslProto_CHALLENGE.Enum(), Token: out}
		if done {
			answer.State = pb.RpcSaslProto_SUCCESS.Enum()
		}
		if err := p.send(saslAnswer(answer)); err != nil || done {
			p.layer = m.Layer()
			return err
		}
		in = &pb.RpcSaslProto{}
		if err := p.next(&pb.RpcRequestHeaderProto{}, in); err != nil {
			return err
		}
	}
}

// call is a request as the server sees it.
type call struct {
	id      int32
	method  string
	renewer string
}

func (p *peer) nextCall() (call, error) {
	head, request, body := &pb.RpcRequestHeaderProto{}, &pb.RequestHeaderProto{}, &pb.GetDelegationTokenRequestProto{}
	err := p.next(head, request, body)
	return call{head.GetCallId(), request.GetMethodName(), body.GetRenewer()}, err
}

// echo answers a get with a token whose kind is the renewer that was asked for.
func (c call) echo() []byte {
	return encode(responseHeader(c.id), &pb.GetDelegationTokenResponseProto{Token: &pb.TokenProto{
		Identifier: []byte("id"), Password: []byte("pw"), Kind: &c.renewer, Service: new(""),
	}})
}

// serve answers every call.
func (p *peer) serve() error {
	for {
		c, err := p.nextCall()
		if err != nil {
			return err
		}
		if err := p.send(c.echo()); err != nil {
			return err
		}
	}
}

func loginAndServe(p *peer) error {
	if err := p.login(); err != nil {
		return err
	}
	return p.serve()
}

func tokenConfig(t testing.TB, script func(*peer) error) hrpc.Config {
	return hrpc.Config{
		Protocol: hrpc.ClientProtocol, Dial: dialer(t, script),
		Token: &hrpc.Token{Identifier: []byte("an identifier"), Password: password},
	}
}

func kerberosConfig(t testing.TB, script func(*peer) error) hrpc.Config {
	return hrpc.Config{
		Protocol: hrpc.ClientProtocol, Dial: dialer(t, script),
		Kerberos: &hrpc.Kerberos{Principal: "nn/_HOST@LAB.TEST", Context: func(context.Context, string) (sasl.GSS, error) {
			initiator, _ := gsstest.NewPair(alice, namenode)
			return initiator, nil
		}},
	}
}

func dial(t testing.TB, cfg hrpc.Config) *hrpc.Conn {
	t.Helper()
	c, err := hrpc.Dial(t.Context(), cfg, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// get makes a call and returns what echo put into the answer.
func get(ctx context.Context, c *hrpc.Conn, renewer string) (string, error) {
	resp := &pb.GetDelegationTokenResponseProto{}
	err := c.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, resp)
	return resp.GetToken().GetKind(), err
}
