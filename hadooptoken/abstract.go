package hadooptoken

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/tokenwheel/tokenwheel/internal/writable"
)

// The form of most kinds (AbstractDelegationTokenIdentifier): a version byte,
// three Texts, two vlongs, two vints.
const abstractVersion = 0

func isAbstract(kind string) bool {
	switch kind {
	case KindHDFS, KindWebHDFS, KindSWebHDFS, KindKMS, KindHistory, KindHive:
		return true
	}
	return false
}

func parseAbstract(id *Identifier, b []byte) error {
	r := writable.NewReader(b)
	if v := r.Byte(); r.Err() == nil && v != abstractVersion {
		return fmt.Errorf("version %d, want %d", v, abstractVersion)
	}
	id.Owner, id.Renewer, id.RealUser = r.Text(), r.Text(), r.Text()
	id.Issued, id.Max = date(r.Vlong()), date(r.Vlong())
	id.Sequence, id.MasterKeyID = int64(r.Vint()), r.Vint()
	return r.Err()
}

// MarshalIdentifier writes an identifier in the form of
// AbstractDelegationTokenIdentifier, byte for byte as Java. It serves those who
// issue tokens, which in this module is the test kit; a kind of another form is
// an error. A zero date is written as 0.
func MarshalIdentifier(id Identifier) ([]byte, error) {
	if err := checkAbstract(id); err != nil {
		return nil, fmt.Errorf("write identifier of kind %q: %w", id.Kind, err)
	}
	b := []byte{abstractVersion}
	b = writable.AppendText(b, id.Owner)
	b = writable.AppendText(b, id.Renewer)
	b = writable.AppendText(b, id.RealUser)
	b = writable.AppendVlong(b, millis(id.Issued))
	b = writable.AppendVlong(b, millis(id.Max))
	b = writable.AppendVlong(b, id.Sequence)
	return writable.AppendVint(b, id.MasterKeyID), nil
}

func checkAbstract(id Identifier) error {
	if !isAbstract(id.Kind) {
		return errors.New("this kind is only read")
	}
	if id.Sequence < math.MinInt32 || id.Sequence > math.MaxInt32 {
		return fmt.Errorf("sequence number %d does not fit 32 bits", id.Sequence)
	}
	return cmp.Or(checkText("owner", id.Owner), checkText("renewer", id.Renewer), checkText("real user", id.RealUser))
}
