package krb

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Mechanisms of hadoop.security.auth_to_local.mechanism.
const (
	MechanismHadoop = "hadoop" // no rule for a name, or a result with / or @, is an error
	MechanismMIT    = "mit"    // no rule for a name: its full form; results are taken as they are
)

// NameRules maps principals to the short names a cluster knows users by, as
// Hadoop's KerberosName does with hadoop.security.auth_to_local. It is immutable.
type NameRules struct {
	rules        []nameRule
	defaultRealm string
	mechanism    string
}

// nameRule is one rule; a nil format is DEFAULT.
type nameRule struct {
	text       string
	components int
	format     []string       // literals and "$n" in turn
	match      *regexp.Regexp // nil: every name
	from       *regexp.Regexp // nil: no substitution
	to         string
	global     bool
	lower      bool
}

// ParseNameRules reads rules separated by blanks or newlines. Empty text means
// DEFAULT, an empty mechanism means MechanismHadoop. The patterns are Java's; the
// few constructs that Go lacks (look-around, back references) are errors here.
func ParseNameRules(text, defaultRealm, mechanism string) (*NameRules, error) {
	n := &NameRules{defaultRealm: defaultRealm, mechanism: orDefault(mechanism, MechanismHadoop)}
	if n.mechanism != MechanismHadoop && n.mechanism != MechanismMIT {
		return nil, fmt.Errorf("auth_to_local mechanism %q is neither %s nor %s", mechanism, MechanismHadoop, MechanismMIT)
	}
	syntax := regexp.MustCompile(`^(?:(DEFAULT)|RULE:\[(\d+):([^\]]*)\](?:\(([^)]*)\))?(?:s/([^/]*)/([^/]*)/(g)?)?)/?(L)?(?:\s+|$)`)
	rest := strings.TrimSpace(text)
	if rest == "" {
		rest = "DEFAULT"
	}
	for rest != "" {
		m := syntax.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("auth_to_local: %q does not start with a rule", rest[:min(len(rest), 80)])
		}
		rule, err := newNameRule(m)
		if err != nil {
			return nil, fmt.Errorf("auth_to_local rule %s: %w", strings.TrimSpace(m[0]), err)
		}
		n.rules = append(n.rules, rule)
		rest = rest[len(m[0]):]
	}
	return n, nil
}

// newNameRule takes the submatches of a rule's syntax.
func newNameRule(m []string) (rule nameRule, err error) {
	rule = nameRule{text: strings.TrimSpace(m[0]), to: m[6], global: m[7] != "", lower: m[8] != ""}
	if m[1] != "" {
		return rule, nil
	}
	if rule.components, err = strconv.Atoi(m[2]); err != nil {
		return rule, err
	}
	if rule.format, err = splitFormat(m[3], rule.components); err != nil {
		return rule, err
	}
	if m[4] != "" {
		if rule.match, err = regexp.Compile(`\A(?:` + m[4] + `)\z`); err != nil {
			return rule, err
		}
	}
	if m[5] != "" {
		if rule.from, err = regexp.Compile(m[5]); err != nil {
			return rule, err
		}
	}
	return rule, nil
}

// splitFormat cuts "$1@$0" into its parts and checks the numbers.
func splitFormat(format string, components int) ([]string, error) {
	parts := []string{}
	for i, piece := range strings.Split(format, "$") {
		if i == 0 {
			parts = append(parts, piece)
			continue
		}
		digits := strings.IndexFunc(piece, func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(piece)
		}
		if n, err := strconv.Atoi(piece[:digits]); err != nil || n > components {
			return nil, fmt.Errorf("$%s is not among $0 to $%d", piece[:digits], components)
		}
		parts = append(parts, "$"+piece[:digits], piece[digits:])
	}
	return parts, nil
}

// ShortName maps "name", "name@REALM" or "name/host[@REALM]" by the first rule
// that applies. A bare name is taken as it is. Errors have kind ErrName.
func (n *NameRules) ShortName(principal string) (string, error) {
	if err := checkNameText(principal); err != nil {
		return "", err
	}
	name, realm, hasRealm := strings.Cut(principal, "@")
	parts := strings.Split(name, "/")
	if strings.ContainsAny(realm, "@/") || hasRealm && realm == "" || len(parts) > 2 {
		return "", nameError(principal, "malformed")
	}
	for _, p := range parts {
		if p == "" {
			return "", nameError(principal, "empty component")
		}
	}
	if !hasRealm && len(parts) == 1 {
		return name, nil
	}
	params := append([]string{realm}, parts...)
	for _, rule := range n.rules {
		short, applies := rule.apply(params, n.defaultRealm)
		if !applies {
			continue
		}
		if err := n.checkShort(short); err != nil {
			return "", nameError(principal, fmt.Sprintf("%v by auth_to_local rule %s", err, rule.text))
		}
		return short, nil
	}
	if n.mechanism == MechanismMIT {
		return principal, nil
	}
	return "", nameError(principal, "no auth_to_local rule applies")
}

func (n *NameRules) checkShort(short string) error {
	if err := checkNameText(short); err != nil {
		return errors.New("unusable short name")
	}
	if n.mechanism == MechanismHadoop && strings.ContainsAny(short, "/@") {
		return fmt.Errorf("non-simple name %s", short)
	}
	return nil
}

// apply gives the short name; params are realm, primary and perhaps host.
func (r *nameRule) apply(params []string, defaultRealm string) (short string, applies bool) {
	if r.format == nil {
		if params[0] == "" || params[0] != defaultRealm {
			return "", false
		}
		return r.finish(params[1]), true
	}
	if len(params)-1 != r.components {
		return "", false
	}
	var base strings.Builder
	for i, part := range r.format {
		if i%2 == 1 {
			index, _ := strconv.Atoi(part[1:]) // checked by splitFormat
			part = params[index]
		}
		base.WriteString(part)
	}
	short = base.String()
	if r.match != nil && !r.match.MatchString(short) {
		return "", false
	}
	if r.from != nil {
		short = r.substitute(short)
	}
	return r.finish(short), true
}

func (r *nameRule) finish(short string) string {
	if r.lower {
		return strings.ToLower(short)
	}
	return short
}

// substitute is s/from/to/ with Java's reading of to: $n is a group, \x is x.
func (r *nameRule) substitute(s string) string {
	limit := 1
	if r.global {
		limit = -1
	}
	var b strings.Builder
	end := 0
	for _, at := range r.from.FindAllStringSubmatchIndex(s, limit) {
		b.WriteString(s[end:at[0]])
		b.WriteString(javaExpand(r.to, s, at))
		end = at[1]
	}
	return b.String() + s[end:]
}

func javaExpand(to, s string, at []int) string {
	var b strings.Builder
	for i := 0; i < len(to); i++ {
		switch c := to[i]; {
		case c == '\\' && i+1 < len(to):
			i++
			b.WriteByte(to[i])
		case c == '$' && i+1 < len(to) && '0' <= to[i+1] && to[i+1] <= '9':
			i++
			if group := 2 * int(to[i]-'0'); group+1 < len(at) && at[group] >= 0 {
				b.WriteString(s[at[group]:at[group+1]])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
