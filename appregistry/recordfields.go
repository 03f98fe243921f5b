package appregistry

import (
	"encoding/hex"
	"fmt"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// The numbers of fields below are what stores hold: none is ever given to
// something else.

// notKnown is where fields go that a reader of records does not know.
type notKnown struct {
	fields []byte // of a later release, as they stand
	// inside has those within a holding, target, setting or secret, by what is known
	// of that. They go with it, and are lost where it changes.
	inside map[any][]byte
}

// What settings and secrets are known by.
type (
	overlayKey  string
	secretAlias string
)

// openRecord begins to read a record of the present form.
func openRecord(value []byte) (*fieldReader, error) {
	if err := checkVersion(value); err != nil {
		return nil, err
	}
	return &fieldReader{rest: value[1:]}, nil
}

func checkVersion(value []byte) error {
	if len(value) == 0 {
		return errDamaged
	}
	if value[0] != RecordVersion {
		return fmt.Errorf("version %d, want %d: %w", value[0], RecordVersion, ErrNewer)
	}
	return nil
}

// isV1 reports whether a value is a record of version 1, which was a JSON object.
func isV1(value []byte) bool { return len(value) > 0 && value[0] == '{' }

func decodeApp(seq uint64, value []byte) (*AppRecord, error) {
	if isV1(value) {
		return decodeAppV1(seq, value)
	}
	f, err := openRecord(value)
	if err != nil {
		return nil, err
	}
	r := &AppRecord{Seq: seq}
	r.decode(f)
	return r, f.finish()
}

func decodeEntry(seq uint64, value []byte) (*EntryRecord, error) {
	if isV1(value) {
		return decodeEntryV1(seq, value)
	}
	f, err := openRecord(value)
	if err != nil {
		return nil, err
	}
	r := &EntryRecord{ID: EntryID(seq)}
	r.decode(f)
	return r, f.finish()
}

func decodeToken(seq uint64, value []byte) (*TokenRecord, error) {
	if isV1(value) {
		return decodeTokenV1(seq, value)
	}
	f, err := openRecord(value)
	if err != nil {
		return nil, err
	}
	r := &TokenRecord{ID: TokenID(seq)}
	r.decode(f)
	return r, f.finish()
}

func (r *AppRecord) encode(w *fieldWriter) {
	r.App.encode(w, &r.unknown)
	w.bytes(11, r.Content)
	w.uuid(12, r.UUID)
	for _, p := range r.Plan {
		w.nested(25, func() { w.authority(1, p) })
	}
	for i := range r.Holdings {
		w.nested(14, func() {
			r.Holdings[i].encode(w, r.Seq)
			if r.unknown.inside != nil {
				w.b = append(w.b, r.unknown.inside[r.Holdings[i]]...)
			}
		})
	}
	w.number(15, r.Replaces)
	w.number(16, uint64(r.Generation))
	w.number(17, uint64(r.EpochFloor))
	w.flag(18, r.Ready)
	w.number(19, uint64(r.Published.Generation))
	w.bytes(20, r.Published.Digest)
	w.refs(21, r.Seq, r.Published.Tokens)
	w.date(22, r.Published.NextUpdate)
	w.refs(23, r.Seq, r.Offered)
	w.date(24, r.LeaveAt)
	r.App.encodeNewer(w)
	w.date(28, r.LeaseEnd)
	w.flag(29, r.Left)
	w.b = append(w.b, r.unknown.fields...)
}

func (a *App) encode(w *fieldWriter, unknown *notKnown) {
	w.text(1, string(a.ID))
	w.word(2, a.Owner)
	w.word(3, a.User)
	for _, name := range a.Obtain {
		w.word(4, name)
	}
	for _, t := range a.StageTo {
		w.nested(5, func() {
			w.word(1, t.FS)
			w.text(2, t.Dir)
			w.text(3, t.Prefix)
			if unknown.inside != nil {
				w.b = append(w.b, unknown.inside[t]...)
			}
		})
	}
	w.number(6, uint64(a.AtEnd))
	w.number(7, uint64(a.Verify))
	w.number(8, uint64(a.Share))
	for _, key := range sortedKeys(a.Overlay) {
		w.nested(9, func() {
			w.word(1, key)
			w.word(2, a.Overlay[key])
			if unknown.inside != nil {
				w.b = append(w.b, unknown.inside[overlayKey(key)]...)
			}
		})
	}
	for _, alias := range sortedKeys(a.Credentials.Secrets) {
		w.nested(10, func() {
			w.word(1, alias)
			w.bytes(2, a.Credentials.Secrets[alias])
			if unknown.inside != nil {
				w.b = append(w.b, unknown.inside[secretAlias(alias)]...)
			}
		})
	}
}

// encodeNewer writes what came to an application later, behind what stores have.
func (a *App) encodeNewer(w *fieldWriter) {
	w.word(26, a.Group)
	w.flag(27, a.Tolerate)
}

func (h *Holding) encode(w *fieldWriter, own uint64) {
	w.word(1, h.Alias)
	w.word(2, h.Kind)
	w.word(3, h.Service)
	w.ref(4, own, uint64(h.Entry))
	w.ref(5, own, uint64(h.Token))
	w.flag(6, h.Lent)
	w.flag(7, h.Carried)
}

func (r *AppRecord) decode(f *fieldReader) {
	a := &r.App
	for f.next() {
		switch f.field {
		case 1:
			a.ID = AppID(f.text())
		case 2:
			a.Owner = f.word()
		case 3:
			a.User = f.word()
		case 4:
			a.Obtain = append(a.Obtain, f.word())
		case 5:
			a.StageTo = append(a.StageTo, decodeTarget(f, &r.unknown))
		case 6:
			a.AtEnd = AtEnd(f.below(256))
		case 7:
			a.Verify = Verify(f.below(256))
		case 8:
			a.Share = Share(f.below(256))
		case 9:
			a.setOverlay(f, &r.unknown)
		case 10:
			a.setSecret(f, &r.unknown)
		case 11:
			r.Content = f.bytes()
		case 12:
			r.UUID = f.uuid()
		case 13:
			r.UUID = f.text()
		case 25:
			f.nested(func(in *fieldReader) {
				if in.field == 1 {
					r.Plan = append(r.Plan, in.authority())
				}
			})
		case 14:
			r.Holdings = append(r.Holdings, decodeHolding(f, r.Seq, &r.unknown))
		case 15:
			r.Replaces = f.number()
		case 16:
			r.Generation = uint32(f.below(1 << 32))
		case 17:
			r.EpochFloor = uint32(f.below(1 << 32))
		case 18:
			r.Ready = f.number() != 0
		case 19:
			r.Published.Generation = uint32(f.below(1 << 32))
		case 20:
			r.Published.Digest = f.bytes()
		case 21:
			r.Published.Tokens = f.refs(r.Seq)
		case 22:
			r.Published.NextUpdate = f.date()
		case 23:
			r.Offered = f.refs(r.Seq)
		case 24:
			r.LeaveAt = f.date()
		case 26:
			a.Group = f.word()
		case 27:
			a.Tolerate = f.number() != 0
		case 28:
			r.LeaseEnd = f.date()
		case 29:
			r.Left = f.number() != 0
		default:
			r.unknown.keep(f)
		}
	}
}

func decodeTarget(f *fieldReader, unknown *notKnown) (t Target) {
	var rest []byte
	f.nested(func(in *fieldReader) {
		switch in.field {
		case 1:
			t.FS = in.word()
		case 2:
			t.Dir = in.text()
		case 3:
			t.Prefix = in.text()
		default:
			rest = append(rest, in.whole...)
		}
	})
	if rest != nil {
		unknown.keepInside(t, rest)
	}
	return t
}

func decodeHolding(f *fieldReader, own uint64, unknown *notKnown) (h Holding) {
	var rest []byte
	f.nested(func(in *fieldReader) {
		switch in.field {
		case 1:
			h.Alias = in.word()
		case 2:
			h.Kind = in.word()
		case 3:
			h.Service = in.word()
		case 4:
			h.Entry = EntryID(in.ref(own))
		case 5:
			h.Token = TokenID(in.ref(own))
		case 6:
			h.Lent = in.number() != 0
		case 7:
			h.Carried = in.number() != 0
		default:
			rest = append(rest, in.whole...)
		}
	})
	if rest != nil {
		unknown.keepInside(h, rest)
	}
	return h
}

func (a *App) setOverlay(f *fieldReader, unknown *notKnown) {
	var key, value string
	var rest []byte
	f.nested(func(in *fieldReader) {
		switch in.field {
		case 1:
			key = in.word()
		case 2:
			value = in.word()
		default:
			rest = append(rest, in.whole...)
		}
	})
	if rest != nil {
		unknown.keepInside(overlayKey(key), rest)
	}
	if a.Overlay == nil {
		a.Overlay = map[string]string{}
	}
	a.Overlay[key] = value
}

func (a *App) setSecret(f *fieldReader, unknown *notKnown) {
	var alias string
	var secret plugins.Secret
	var rest []byte
	f.nested(func(in *fieldReader) {
		switch in.field {
		case 1:
			alias = in.word()
		case 2:
			secret = in.bytes()
		default:
			rest = append(rest, in.whole...)
		}
	})
	if rest != nil {
		unknown.keepInside(secretAlias(alias), rest)
	}
	if a.Credentials.Secrets == nil {
		a.Credentials.Secrets = map[string]plugins.Secret{}
	}
	a.Credentials.Secrets[alias] = secret
}

func (e *EntryRecord) encode(w *fieldWriter) {
	own := uint64(e.ID)
	w.authority(1, e.Authority)
	w.authority(2, e.Supply.Authority)
	w.word(3, e.Supply.User)
	w.word(4, e.Supply.App.Owner)
	w.text(5, string(e.Supply.App.ID))
	w.ref(6, own, uint64(e.Supply.Entry))
	w.word(7, e.Alias)
	w.ref(8, own, uint64(e.Current))
	w.b = append(w.b, e.unknown.fields...)
}

func (e *EntryRecord) decode(f *fieldReader) {
	own := uint64(e.ID)
	for f.next() {
		switch f.field {
		case 1:
			e.Authority = f.authority()
		case 2:
			e.Supply.Authority = f.authority()
		case 3:
			e.Supply.User = f.word()
		case 4:
			e.Supply.App.Owner = f.word()
		case 5:
			e.Supply.App.ID = AppID(f.text())
		case 6:
			e.Supply.Entry = EntryID(f.ref(own))
		case 7:
			e.Alias = f.word()
		case 8:
			e.Current = TokenID(f.ref(own))
		default:
			e.unknown.keep(f)
		}
	}
}

func (n *notKnown) keep(f *fieldReader) { n.fields = append(n.fields, f.whole...) }

func (n *notKnown) keepInside(of any, fields []byte) {
	if n.inside == nil {
		n.inside = map[any][]byte{}
	}
	n.inside[of] = fields
}

// uuid writes 16 bytes where the text is a UUID as we write it, else the text
// under the number behind.
func (w *fieldWriter) uuid(field int, v string) {
	var raw [17]byte
	if len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-' {
		digits := append(append(append(append(append(make([]byte, 0, 32), v[:8]...), v[9:13]...), v[14:18]...), v[19:23]...), v[24:]...)
		if n, err := hex.Decode(raw[:16], digits); err == nil && n == 16 {
			if again := uuidText(raw[:16]); string(again[:]) == v {
				w.bytes(field, raw[:16])
				return
			}
		}
	}
	w.text(field+1, v)
}

func (r *fieldReader) uuid() string {
	if r.want(bytesField) && len(r.body) == 16 {
		text := uuidText(r.body)
		return string(text[:])
	}
	r.err = errDamaged
	return ""
}

func uuidText(raw []byte) (b [36]byte) {
	hex.Encode(b[:], raw[:4])
	hex.Encode(b[9:], raw[4:6])
	hex.Encode(b[14:], raw[6:8])
	hex.Encode(b[19:], raw[8:10])
	hex.Encode(b[24:], raw[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return b
}

func (r *fieldReader) digest(to *[32]byte) {
	if r.want(bytesField) && len(r.body) == len(to) {
		copy(to[:], r.body)
		return
	}
	r.err = errDamaged
}
