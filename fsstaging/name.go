package fsstaging

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Form is a way to write the name of a credentials file. Readers take all of
// them; a writer chooses one.
type Form uint8

const (
	// FormChecked is <prefix>-e<epoch>.l<length>.c<crc32c>-<nextUpdateMillis>-<n>.
	// Spark 2.2's reader takes it for its own, ours can tell whether the file is
	// whole and who wrote it.
	FormChecked Form = iota
	// FormTimed is <prefix>-<nextUpdateMillis>-<n>, as Spark 2.2 to 2.4 write it
	// (AMCredentialRenewer).
	FormTimed
	// FormPlain is <prefix>-<n>, as Spark up to 2.1 and other writers use it.
	FormPlain
)

// Name is what the name of a credentials file says.
type Name struct {
	Prefix string // credentials-<uuid>, or what the target names
	Form   Form
	N      uint32 // generation, 1 to [appregistry.MaxGeneration]

	// NextUpdate is when the writer means to write the next file, in
	// milliseconds; zero: not told.
	NextUpdate time.Time

	// Of FormChecked only.
	Epoch  uint32
	Length int64  // of the whole file
	CRC    uint32 // CRC-32C of the whole file
}

const (
	tempSuffix  = ".tmp"
	claimSuffix = ".claim"
	// maxPrefix leaves room for the longest name, its dot and its suffix within
	// the 255 bytes that file systems allow.
	maxPrefix = 150
	// unknownUpdate stands in the name where the next update is not known. A date
	// long past makes Spark's reader look again every minute.
	unknownUpdate = 1
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	uuidPattern    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	prefixPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	checkedPattern = regexp.MustCompile(`^-e([1-9][0-9]*)\.l([1-9][0-9]*)\.c([0-9a-f]{8})-([1-9][0-9]*)-([1-9][0-9]*)$`)
	spreadPattern  = regexp.MustCompile(`^(?:-([1-9][0-9]*))?-([1-9][0-9]*)$`)
)

const (
	ownStem   = "credentials-"
	ownLength = len(ownStem) + 36
)

// ownPrefix is the prefix of an application's files where its target names none.
func ownPrefix(uuid string) string { return ownStem + uuid }

// cutOwnPrefix splits a name that begins with credentials-<uuid>.
func cutOwnPrefix(name string) (prefix, rest string, ok bool) {
	if len(name) <= ownLength || !strings.HasPrefix(name, ownStem) || !uuidPattern.MatchString(name[len(ownStem):ownLength]) {
		return "", "", false
	}
	return name[:ownLength], name[ownLength:], true
}

// ParseName reads the name of a credentials file. With an empty prefix it takes
// any credentials-<uuid>. Temporary files, dot files and whatever differs from
// the grammar in one byte (a leading zero, a sign, a number out of range, upper
// case in a UUID) are not such names.
func ParseName(prefix, name string) (Name, bool) {
	if !endsInNumber(name) {
		return Name{}, false
	}
	rest, ok := "", false
	if prefix == "" {
		prefix, rest, ok = cutOwnPrefix(name)
	} else {
		rest, ok = strings.CutPrefix(name, prefix)
	}
	if !ok {
		return Name{}, false
	}
	n := Name{Prefix: prefix}
	if m := checkedPattern.FindStringSubmatch(rest); m != nil {
		ok = n.setChecked(m[1], m[2], m[3]) && n.setUpdate(m[4]) && n.setN(m[5])
		return n, ok
	}
	m := spreadPattern.FindStringSubmatch(rest)
	if m == nil {
		return Name{}, false
	}
	n.Form = FormPlain
	if m[1] != "" {
		n.Form = FormTimed
		ok = n.setUpdate(m[1])
	}
	return n, ok && n.setN(m[2])
}

// endsInNumber looks whether a name could be one at all. It spares a directory
// full of foreign names the patterns.
func endsInNumber(name string) bool {
	number := name[strings.LastIndexByte(name, '-')+1:]
	return number != "" && strings.Trim(number, "0123456789") == ""
}

func (n *Name) setChecked(epoch, length, crc string) bool {
	e, err1 := strconv.ParseUint(epoch, 10, 32)
	l, err2 := strconv.ParseInt(length, 10, 64)
	c, err3 := strconv.ParseUint(crc, 16, 32)
	n.Epoch, n.Length, n.CRC = uint32(e), l, uint32(c)
	return err1 == nil && err2 == nil && err3 == nil
}

func (n *Name) setUpdate(millis string) bool {
	ms, err := strconv.ParseInt(millis, 10, 64)
	if ms != unknownUpdate {
		n.NextUpdate = time.UnixMilli(ms)
	}
	return err == nil
}

func (n *Name) setN(text string) bool {
	v, err := strconv.ParseUint(text, 10, 31)
	n.N = uint32(v)
	return err == nil
}

// String writes the name. It is the inverse of [ParseName] for values that the
// grammar can say.
func (n Name) String() string {
	millis := int64(unknownUpdate)
	if !n.NextUpdate.IsZero() {
		millis = max(millis, n.NextUpdate.UnixMilli())
	}
	switch n.Form {
	case FormPlain:
		return fmt.Sprintf("%s-%d", n.Prefix, n.N)
	case FormTimed:
		return fmt.Sprintf("%s-%d-%d", n.Prefix, millis, n.N)
	default:
		return fmt.Sprintf("%s-e%d.l%d.c%08x-%d-%d", n.Prefix, n.Epoch, n.Length, n.CRC, millis, n.N)
	}
}

// Matches reports whether data is the whole file that the name was given to. A
// name without a checksum cannot tell, and matches everything.
func (n Name) Matches(data []byte) bool {
	return n.Form != FormChecked || n.Length == int64(len(data)) && n.CRC == crc32.Checksum(data, castagnoli)
}

// temp is the name that the file is written under first.
func (n Name) temp() string { return n.String() + tempSuffix }

// claimName is the dot file that reserves generation n for one writer. It says
// nothing but the number, so that two writers cannot but meet.
func claimName(prefix string, n uint32) string {
	return fmt.Sprintf(".%s-%d%s", prefix, n, claimSuffix)
}

// parseClaim reads the generation off a claim.
func parseClaim(prefix, name string) (Name, bool) {
	body, isClaim := strings.CutSuffix(name, claimSuffix)
	body, isDot := strings.CutPrefix(body, ".")
	n, ok := ParseName(prefix, body)
	return n, isClaim && isDot && ok && n.Form == FormPlain
}

// parseTemp reads the name of a temporary file.
func parseTemp(prefix, name string) (Name, bool) {
	body, isTemp := strings.CutSuffix(name, tempSuffix)
	n, ok := ParseName(prefix, body)
	return n, isTemp && ok
}

// checkPrefix reports whether a prefix can stand at the front of a file name.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix || !prefixPattern.MatchString(prefix) {
		return fmt.Errorf("file-name prefix %q: want 1 to %d of letters, digits, '.', '_', '-', the first a letter or digit", prefix, maxPrefix)
	}
	return nil
}

// version is the place of a file in the order of versions. A file whose name
// tells no epoch counts as one of the highest epoch.
func (n Name) version() appregistry.Receipt {
	return appregistry.Receipt{Epoch: n.Epoch, N: n.N}
}

// highestEpoch is the highest epoch among names, at least floor.
func highestEpoch(names []Name, floor uint32) uint32 {
	for _, n := range names {
		floor = max(floor, n.Epoch)
	}
	return floor
}

// current drops every file of an epoch below epoch and sorts the rest, newest
// first. It returns how many it dropped.
func current(names []Name, epoch uint32) (kept []Name, dropped int) {
	for _, n := range names {
		if n.Form == FormChecked && n.Epoch < epoch {
			dropped++
			continue
		}
		kept = append(kept, n)
	}
	slices.SortFunc(kept, func(a, b Name) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.String(), b.String()))
	})
	return kept, dropped
}
