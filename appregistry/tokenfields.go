package appregistry

import "time"

// encode leaves out what follows from the token's bytes, where they are there.
func (t *TokenRecord) encode(w *fieldWriter) {
	w.ref(1, uint64(t.ID), uint64(t.Entry))
	w.authority(2, t.Authority)
	w.word(3, t.Token.Kind)
	w.word(4, t.Token.Service)
	w.bytes(5, t.Token.Identifier)
	w.bytes(6, t.Token.Password)
	if len(t.Token.Identifier) == 0 {
		d := t.Digests()
		w.text(7, d.Fingerprint)
		w.bytes(8, d.Key[:])
		w.bytes(9, d.Name[:])
	}
	if w.words != nil {
		t.encodeShort(w)
	} else {
		t.encodeRest(w)
	}
	w.b = append(w.b, t.unknown.fields...)
}

func (t *TokenRecord) encodeRest(w *fieldWriter) {
	w.number(10, uint64(t.State))
	w.text(11, t.Reason)
	w.number(12, uint64(t.Proof))
	w.date(13, t.ProvedAt)
	w.flag(14, t.Obtained)
	w.flag(15, t.Keep)
	w.word(16, t.Owner)
	w.flag(17, t.Ours)
	w.date(18, t.Issued)
	w.date(19, t.Expires)
	w.date(20, t.Max)
	w.number(21, zigzag(int64(t.Skew)))
	w.date(22, t.ReadUntil)
	w.flag(23, t.Ordered)
	w.word(24, t.Tenant)
}

// Fields of a record in memory, which no store has: the same in fewer bytes.
const (
	shortState = 56 + iota
	shortProvedAt
	shortExpires
	shortMax
	shortSkew
)

func (t *TokenRecord) encodeShort(w *fieldWriter) {
	w.text(11, t.Reason)
	w.word(16, t.Owner)
	w.date(18, t.Issued) // before the dates beside it
	w.date(22, t.ReadUntil)
	w.word(24, t.Tenant)
	state := uint64(t.State) | uint64(t.Proof)<<5
	for i, on := range []bool{t.Obtained, t.Keep, t.Ours, t.Ordered} {
		if on {
			state |= 1 << (8 + i)
		}
	}
	w.number(shortState, state)
	w.dateBeside(shortProvedAt, 13, t.ProvedAt, t.Issued)
	w.dateBeside(shortExpires, 19, t.Expires, t.Issued)
	w.dateBeside(shortMax, 20, t.Max, t.Issued)
	if ms := t.Skew.Milliseconds(); t.Skew == time.Duration(ms)*time.Millisecond {
		w.number(shortSkew, zigzag(ms))
	} else {
		w.number(21, zigzag(int64(t.Skew)))
	}
}

// dateBeside writes a date by its distance from another one, or else under its
// own field.
func (w *fieldWriter) dateBeside(short, field int, t, other time.Time) {
	switch {
	case t.IsZero():
	case other.IsZero() || t.Nanosecond()%1e6 != 0 || other.Nanosecond()%1e6 != 0:
		w.date(field, t)
	default:
		w.always(short, zigzag(t.UnixMilli()-other.UnixMilli()))
	}
}

func (t *TokenRecord) decodeShort(f *fieldReader) {
	beside := func() time.Time { return time.UnixMilli(t.Issued.UnixMilli() + unzigzag(f.number())).UTC() }
	switch f.field {
	case shortState:
		v := f.number()
		t.State, t.Proof = State(v&31), Proof(v>>5&7)
		t.Obtained, t.Keep, t.Ours, t.Ordered = v>>8&1 != 0, v>>9&1 != 0, v>>10&1 != 0, v>>11&1 != 0
	case shortProvedAt:
		t.ProvedAt = beside()
	case shortExpires:
		t.Expires = beside()
	case shortMax:
		t.Max = beside()
	case shortSkew:
		t.Skew = time.Duration(unzigzag(f.number())) * time.Millisecond
	}
}

func (t *TokenRecord) decode(f *fieldReader) {
	var known Digests // of a token whose bytes are gone
	for f.next() {
		switch f.field {
		case 1:
			t.Entry = EntryID(f.ref(uint64(t.ID)))
		case 2:
			t.Authority = f.authority()
		case 3:
			t.Token.Kind = f.word()
		case 4:
			t.Token.Service = f.word()
		case 5:
			t.Token.Identifier = f.bytes()
		case 6:
			t.Token.Password = f.bytes()
		case 7:
			known.Fingerprint = f.text()
		case 8:
			f.digest(&known.Key)
		case 9:
			f.digest(&known.Name)
		case 10:
			t.State = State(f.below(uint64(len(stateNames))))
		case 11:
			t.Reason = f.text()
		case 12:
			t.Proof = Proof(f.below(uint64(ProofRenewed) + 1))
		case 13:
			t.ProvedAt = f.date()
		case 14:
			t.Obtained = f.number() != 0
		case 15:
			t.Keep = f.number() != 0
		case 16:
			t.Owner = f.word()
		case 17:
			t.Ours = f.number() != 0
		case 18:
			t.Issued = f.date()
		case 19:
			t.Expires = f.date()
		case 20:
			t.Max = f.date()
		case 21:
			t.Skew = time.Duration(unzigzag(f.number()))
		case 22:
			t.ReadUntil = f.date()
		case 23:
			t.Ordered = f.number() != 0
		case 24:
			t.Tenant = f.word()
		case shortState, shortProvedAt, shortExpires, shortMax, shortSkew:
			if f.words == nil {
				f.err = errDamaged // no release writes them; kept, they would be read as ours
				continue
			}
			t.decodeShort(f)
		default:
			t.unknown.keep(f)
		}
	}
	if len(t.Token.Identifier) == 0 {
		t.Known = &known
	}
}
