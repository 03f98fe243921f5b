package differential_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// report gathers what was compared.
type report struct {
	scripts int               // to be run
	steps   int               // compared
	seen    []int             // by the index in musts
	differ  map[string]int    // how often each pair of answers came
	first   map[string]string // where it came first
}

// musts are what a run of a thousand scripts has to meet, or it shows less than it says.
var musts = []struct {
	name   string
	op     op
	phase  string // of renew date, max date, and the instant from which renewals end at the max date; "": any
	forged string // of identifier or password; "": any
	answer string // a part of it
}{
	{"a token", obtain, "", "", "obtained kind"},
	{"none over a token's login", obtain, "", "", "can be issued only with kerberos"},
	{"none for an impostor", obtain, "", "", "is not allowed to impersonate alice"},
	{"none for a renewer of another realm", obtain, "", "", "No rules applied to"},
	{"a renewal for the interval", renew, "<<", "", "renewed for the interval"},
	{"one until the max date", renew, "", "", "renewed until the max date"},
	{"one of a token past its renew date", renew, "><", "", "renewed "},
	{"none past the max date", renew, ">>", "", "tried to renew an expired token"},
	{"none without a renewer", renew, "", "", "without a renewer"},
	{"none by another than the renewer", renew, "", "", "with non-matching renewer"},
	{"none under an unknown key", renew, "", "key", "Unable to find master key"},
	{"none with a wrong password", renew, "", "flipped", "with wrong password"},
	{"none of an unknown token", renew, "", "", "Renewal request for unknown token"},
	{"none over a token's login", renew, "", "", "can be renewed only with kerberos"},
	{"none of an identifier cut short", renew, "", "cut", "java.io.EOFException"},
	{"none without an owner", renew, "", "no owner", "NullPointerException"},
	{"a cancel", cancel, "", "", "cancelled"},
	{"one with a wrong password", cancel, "", "flipped", "cancelled"},
	{"one with more behind the identifier", cancel, "", "trailing", "cancelled"},
	{"none by a stranger", cancel, "", "", "is not authorized to cancel"},
	{"none of an unknown token", cancel, "", "", "Token not found"},
	{"none without an owner", cancel, "", "no owner", "Token with no owner"},
	{"a login", login, "<<", "", "logged in"},
	{"none past the renew date", login, "><", "", "has expired, current time"},
	{"none with a wrong password", login, "", "flipped", "Mismatched response"},
	{"none of an unknown token", login, "", "", "can't be found in cache"},
	{"no answer to an identifier cut short", login, "", "cut", "the connection was closed"},
}

// add compares the two stories of a script up to the first step that differs, or that is no evidence: then it returns
// false.
func (r *report) add(p *pair) bool {
	if r.differ == nil {
		r.seen, r.differ, r.first = make([]int, len(musts)), map[string]int{}, map[string]string{}
	}
	for i, q := range p.kit.script.steps {
		if i >= len(p.kit.told) || i >= len(p.real.told) || p.real.told[i].phase == unsure || p.kit.told[i].phase != p.real.told[i].phase {
			return false
		}
		kit, real := p.kit.told[i].verdict, p.real.told[i].verdict
		if *only >= 0 {
			fmt.Printf("boot %d +%.3fs %s\n\tkit:  %s\n\treal: %s\n", q.boot, q.at.Seconds(), q, kit, real)
		}
		r.steps++
		if kit != real {
			answers := fmt.Sprintf("\n  kit:  %s\n  real: %s", kit, real)
			if r.differ[answers]++; r.differ[answers] == 1 {
				r.first[answers] = fmt.Sprintf("script %d, step %d: %s", p.kit.script.n, i, q)
			}
			return true
		}
		r.count(q, p.real.told[i])
	}
	return true
}

func (r *report) count(q step, o outcome) {
	// The phase of the last start stands before that of the step.
	now := o.phase[len(o.phase)-3:]
	for i, m := range musts {
		forged := m.forged == "" || m.forged == string(q.ident) || m.forged == string(q.password)
		if m.op == q.op && forged && strings.HasPrefix(string(now), m.phase) && strings.Contains(o.verdict, m.answer) {
			r.seen[i]++
		}
	}
}

// tooMany reports whether so many scripts were not told to their end that the rest shows too little.
func (r *report) tooMany(cut []int) bool { return len(cut)*20 > r.scripts }

func (r *report) judge(t *testing.T, cut []int) {
	t.Helper()
	t.Logf("%d scripts, %d of them not to their end; %d steps compared, %d pairs of answers differ", r.scripts, len(cut), r.steps, len(r.differ))
	for _, answers := range slices.Sorted(maps.Keys(r.differ)) {
		t.Errorf("%d times, first at %s%s", r.differ[answers], r.first[answers], answers)
	}
	if r.tooMany(cut) {
		t.Errorf("%d of %d scripts were asked at the wrong moment three times: this machine is too slow to tell", len(cut), r.scripts)
	}
	if r.scripts < 1000 {
		return
	}
	for i, m := range musts {
		if r.seen[i] == 0 {
			t.Errorf("no script met %s: %s", m.op, m.name)
		}
		t.Logf("%5d  %s: %s", r.seen[i], m.op, m.name)
	}
}
