package hadooptest

import (
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Op is what a client asked the NameNode for.
type Op string

// What the journal tells apart.
const (
	OpIssue  Op = "issue"
	OpRenew  Op = "renew"
	OpCancel Op = "cancel"
	OpLogin  Op = "login" // a login by token
)

// Call is one call that the NameNode answered.
type Call struct {
	NameNode  string // its ID
	At        time.Time
	Op        Op
	Caller    string // effective user
	RealUser  string // who logged in, where it is another
	Token     string // [plugins.Token.Fingerprint]
	Expires   time.Time
	Err       error // nil: accepted
	Protected bool  // came through an integrity-protected channel
}

// Journal is what the NameNode was asked and how it answered, in order. It is
// the judge in tests: what it does not show did not happen. The zero value is
// empty and ready; it is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	calls   []Call
	changed chan struct{}
}

func (j *Journal) add(c Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, c)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// Calls returns a copy of all calls so far.
func (j *Journal) Calls() []Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.calls)
}

// Count is how many calls of a kind were accepted.
func (j *Journal) Count(op Op) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.calls {
		if c.Op == op && c.Err == nil {
			n++
		}
	}
	return n
}

// Of returns the calls about one token.
func (j *Journal) Of(t plugins.Token) []Call {
	return slices.DeleteFunc(j.Calls(), func(c Call) bool { return c.Token != t.Fingerprint() })
}

// Changed is closed at the next call that is added: wait on it instead of
// sleeping, then look again.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}
