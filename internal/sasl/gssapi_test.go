package sasl_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/internal/sasl/gsstest"
)

const alice, namenode = "alice@LAB.TEST", "nn/nn1.lab.test@LAB.TEST"

// Shows: T-14.
func TestCH34_GSSQuality(t *testing.T) {
	a, i, c := sasl.Auth, sasl.AuthInt, sasl.AuthConf
	for _, tt := range []struct {
		name   string
		policy sasl.Policy
		offer  []sasl.QOP
		want   sasl.QOP
		err    error
	}{
		{"auth", sasl.Policy{}, nil, a, nil},
		{"strongest", sasl.Policy{}, []sasl.QOP{a, i, c}, c, nil},
		{"preferred", sasl.Policy{Prefer: []sasl.QOP{i}}, []sasl.QOP{a, i, c}, i, nil},
		{"stripped to auth", sasl.Policy{Minimum: i}, []sasl.QOP{a}, 0, sasl.ErrQOP},
		{"stripped to integrity", sasl.Policy{Minimum: c}, []sasl.QOP{a, i}, 0, sasl.ErrQOP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			initiator, acceptor := gsstest.NewPair(alice, namenode)
			client, server := sasl.NewGSSClient(initiator, tt.policy), sasl.NewGSSServer(acceptor, tt.offer...)
			if err := run(client, server, false); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			} else if err != nil {
				return
			}
			if client.QOP() != tt.want || server.QOP() != tt.want {
				t.Errorf("qop %s and %s, want %s", client.QOP(), server.QOP(), tt.want)
			}
			if diff := cmp.Diff([]string{namenode, alice}, []string{initiator.Peer(), acceptor.Peer()}); diff != "" {
				t.Errorf("peers (-want +got):\n%s", diff)
			}
			checkRoundTrips(t, client.Layer(), server.Layer(), tt.want)
		})
	}
}

// established returns a client that waits for the server's offer, and the server's context.
func established(t *testing.T, p sasl.Policy) (sasl.Mechanism, *gsstest.Context) {
	t.Helper()
	initiator, acceptor := gsstest.NewPair(alice, namenode)
	client := sasl.NewGSSClient(initiator, p)
	request, done, err := client.Step(nil)
	if err != nil || done {
		t.Fatalf("first step: done %t, %v", done, err)
	}
	reply, _, err := acceptor.Step(request)
	if err != nil {
		t.Fatal(err)
	}
	empty, done, err := client.Step(reply)
	if err != nil || done || empty == nil || len(empty) > 0 {
		t.Fatalf("second step: %v, done %t, %v; want an empty message", empty, done, err)
	}
	return client, acceptor
}

// The client answers with exactly one layer, in clear, and a size only where there is a layer.
func TestN27_GSSClientChoosesOneLayer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy sasl.Policy
		offer  []byte
		want   []byte
		err    error
	}{
		{"auth only, as a Java server offers it", sasl.Policy{}, []byte{1, 1, 0, 0}, []byte{1, 0, 0, 0}, nil},
		{"all three", sasl.Policy{}, []byte{7, 1, 0, 0}, []byte{4, 1, 0, 0}, nil},
		{"integrity preferred", sasl.Policy{Prefer: []sasl.QOP{sasl.AuthInt}}, []byte{7, 1, 0, 0}, []byte{2, 1, 0, 0}, nil},
		{"unknown bits beside", sasl.Policy{}, []byte{0xf9, 1, 0, 0}, []byte{1, 0, 0, 0}, nil},
		{"no layer", sasl.Policy{}, []byte{0, 1, 0, 0}, nil, sasl.ErrQOP},
		{"unknown bits only", sasl.Policy{}, []byte{8, 1, 0, 0}, nil, sasl.ErrQOP},
		{"too short", sasl.Policy{}, []byte{1, 0, 0}, nil, sasl.ErrMalformed},
		{"too long", sasl.Policy{}, []byte{1, 0, 0, 0, 0}, nil, sasl.ErrMalformed},
		{"layer without a buffer", sasl.Policy{}, []byte{4, 0, 0, 0}, nil, sasl.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, acceptor := established(t, tt.policy)
			challenge, err := acceptor.Wrap(tt.offer, false)
			if err != nil {
				t.Fatal(err)
			}
			response, done, err := client.Step(challenge)
			if !errors.Is(err, tt.err) || done != (tt.err == nil) {
				t.Fatalf("done %t, error %v, want %v", done, err, tt.err)
			}
			if err != nil {
				return
			}
			got, sealed, err := acceptor.Unwrap(response)
			if err != nil || sealed {
				t.Errorf("sealed %t, %v", sealed, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("choice (-want +got):\n%s", diff)
			}
			if _, _, err := client.Step(nil); !errors.Is(err, sasl.ErrOutOfTurn) {
				t.Errorf("a step after the end: %v", err)
			}
		})
	}
}

// Whoever cannot sign the acceptor's answer or its offer is not the server.
func TestT14_ForgedOffer(t *testing.T) {
	client, acceptor := established(t, sasl.Policy{})
	challenge, err := acceptor.Wrap([]byte{7, 1, 0, 0}, false)
	if err != nil {
		t.Fatal(err)
	}
	challenge[10] = 1 // the mask: auth alone
	if _, done, err := client.Step(challenge); err == nil || done {
		t.Errorf("stripped offer accepted, done %t", done)
	}
	initiator, _ := gsstest.NewPair(alice, namenode)
	client = sasl.NewGSSClient(initiator, sasl.Policy{})
	if _, _, err := client.Step(nil); err != nil {
		t.Fatal(err)
	}
	if _, done, err := client.Step([]byte("rep nobody, unsigned at all")); err == nil || done {
		t.Errorf("forged answer accepted, done %t", done)
	}
}

// What the acceptor takes as a choice: the strongest bit if there are several, as the JDK does, but nothing it did not offer.
func TestCH34_GSSServerReadsTheChoice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		choice []byte
		want   sasl.QOP
		err    error
	}{
		{"one bit", []byte{2, 1, 0, 0}, sasl.AuthInt, nil},
		{"several", []byte{3, 1, 0, 0}, sasl.AuthInt, nil},
		{"with an authorisation identity", []byte("\x01\x00\x00\x00alice"), sasl.Auth, nil},
		{"not offered", []byte{4, 1, 0, 0}, 0, sasl.ErrQOP},
		{"nothing", []byte{0, 0, 0, 0}, 0, sasl.ErrQOP},
		{"short", []byte{1}, 0, sasl.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			initiator, acceptor := gsstest.NewPair(alice, namenode)
			server := sasl.NewGSSServer(acceptor, sasl.Auth, sasl.AuthInt)
			request, _, _ := initiator.Step(nil)
			reply, _, err := server.Step(request)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := initiator.Step(reply); err != nil {
				t.Fatal(err)
			}
			offer, _, err := server.Step([]byte{})
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := initiator.Unwrap(offer); err != nil || cmp.Diff([]byte{3, 1, 0, 0}, got) != "" {
				t.Fatalf("offer %v, %v", got, err)
			}
			choice, err := initiator.Wrap(tt.choice, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, done, err := server.Step(choice); !errors.Is(err, tt.err) || done != (tt.err == nil) || server.QOP() != tt.want {
				t.Errorf("done %t, qop %s, error %v, want %v", done, server.QOP(), err, tt.err)
			}
		})
	}
}
