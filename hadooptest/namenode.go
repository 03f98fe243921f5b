package hadooptest

import (
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// NameNode answers the token calls of Hadoop's ClientProtocol over Hadoop RPC 9
// with SASL, as a NameNode does: GSSAPI and DIGEST-MD5, every quality of
// protection, proxy users, the secret manager's rules. It stores no files. It is
// safe for concurrent use.
type NameNode struct {
	ID      string         // nn1 and so on
	Addr    string         // host:port
	Secrets *SecretManager // those of one nameservice share it
	Journal *Journal       // and this

	principal  string // of this server, host and realm included
	offer      []sasl.QOP
	proxyUsers map[string][]string
	acceptor   func() sasl.GSS
	now        func() time.Time

	lis  net.Listener
	quit chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	standby bool
	fault   Fault
	conns   map[net.Conn]struct{}
	closed  bool
}

// Fault is what is wrong with the NameNode. The zero value is a healthy one.
type Fault struct {
	Standby  bool // answers StandbyException, to token logins already in SASL
	Observer bool // of a standby: lets tokens log in, and refuses what would change something
	SafeMode bool // answers SafeModeException to what would change something
	Hang     bool // accepts calls and never answers them
	Cut      bool // drops the connection instead of answering a call
	Down     bool // drops each new connection, and those that stood
	Delay    time.Duration
	// Behind is for how long it has not heard what other servers did: a token
	// issued within this time it does not know (HDFS-17964).
	Behind time.Duration
	// Lose, if it returns true for a call, drops the connection after the call has
	// taken effect, instead of answering.
	Lose func(op Op, caller Caller) bool
	// Refuse, if it returns an error for a call, is that call's answer; a
	// [*JavaError] keeps its class.
	Refuse func(op Op, caller Caller) error
}

// SetFault replaces what is wrong; connections that stand are affected too.
func (n *NameNode) SetFault(f Fault) {
	n.mu.Lock()
	n.fault = f
	n.mu.Unlock()
	if f.Down {
		n.DropConnections()
	}
}

// faultNow is what is wrong now; one that is not active is in standby.
func (n *NameNode) faultNow() Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.fault
	f.Observer = f.Observer && n.standby
	f.Standby = f.Standby || (n.standby && !f.Observer)
	return f
}

// unheard reports whether the token is younger than what a NameNode that is behind
// has heard of.
func (n *NameNode) unheard(f Fault, identifier []byte) (hadooptoken.Identifier, bool) {
	id, err := decode(identifier)
	return id, f.Behind > 0 && err == nil && id.Issued.After(n.now().Add(-f.Behind))
}

// Failover makes the NameNode of that index active, which begins to sign with a
// new key, and all others standbys; -1: nobody is active. Connections stand.
func (c *Cluster) Failover(to int) {
	for i, n := range c.NameNodes {
		n.setStandby(i != to)
	}
	if to >= 0 {
		c.secrets.activate(c.NameNode.now())
	}
}

// Revive lets the NameNode of that index serve beside the active one, as one does
// that was suspended and has not noticed that another took its place. Give it the
// fault Behind, too.
func (c *Cluster) Revive(old int) { c.NameNodes[old].setStandby(false) }

func (n *NameNode) setStandby(standby bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.standby = standby
}

// DropConnections closes every connection that stands.
func (n *NameNode) DropConnections() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}

// Restart drops every connection and starts again on the same address, with the
// tokens that it had and with lifetimes as they are now: see [SecretManager.Restart].
func (n *NameNode) Restart(l Lifetimes) {
	n.DropConnections()
	n.Secrets.Restart(n.now(), l)
}

// Serve answers connections until l is closed.
func (n *NameNode) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		n.serveConn(c)
	}
}

// serveConn answers one connection, on its own goroutine.
func (n *NameNode) serveConn(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.fault.Down {
		c.Close()
		return
	}
	n.conns[c] = struct{}{}
	n.wg.Go(func() {
		s := &session{nn: n, conn: c}
		s.serve()
		s.calls.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, c)
	})
}

// close ends every connection and waits for the goroutines behind them.
func (n *NameNode) close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.quit)
	}
	for c := range n.conns {
		c.Close()
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// wait lets a fault's time pass; false once the NameNode is closed.
func (n *NameNode) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-n.quit:
		return false
	}
}

// mayProxy tells whether a real user may act for another one, as
// hadoop.proxyuser.NAME.users has it.
func (n *NameNode) mayProxy(realUser, user string) bool {
	for _, allowed := range n.proxyUsers[Short(realUser)] {
		if allowed == "*" || allowed == user {
			return true
		}
	}
	return false
}

// foreign is what a renewer's name of another realm meets: the rule DEFAULT makes
// no short name of it.
func (n *NameNode) foreign(renewer string) error {
	_, own, _ := strings.Cut(n.principal, "@")
	if _, realm, ok := strings.Cut(renewer, "@"); ok && realm != own {
		return javaError(ClassRuntime, "org.apache.hadoop.security.authentication.util.KerberosName$NoMatchingRule: No rules applied to %s", renewer)
	}
	return nil
}
