package appregistry

import "encoding/binary"

// Holder is what an application has to say about the calls for the tokens it
// holds.
type Holder struct {
	Owner, User string
	Overlay     Overlay
	Holdings    []Holding
}

// Holder returns what the application of that number says, or nil, and opens
// nothing: most renewals ask for no more of their applications. It is not to be
// changed, and good until the next call.
func (r *Registry) Holder(seq uint64) *Holder {
	at := r.where.get(seq)
	h := &r.glance.holder
	switch {
	case at == 0 || !r.holds(at, appTable):
		return nil
	case at&openBit != 0:
		rec := r.nodes[at&^openBit].app
		*h = Holder{rec.App.Owner, rec.App.User, rec.App.Overlay, append(h.Holdings[:0], rec.Holdings...)}
	default:
		r.glance.read(seq, r.shelf.get(shelfHandle(at)), r.words)
	}
	return h
}

// glance reads folded applications, with memory that is used again.
type glance struct {
	holder  Holder
	fields  fieldReader
	unknown notKnown // what it skips
}

// read takes what node.fold wrote of an application.
func (g *glance) read(seq uint64, folded []byte, words *words) {
	length, size := binary.Uvarint(folded[1:]) // of what the engine attached
	f, h := &g.fields, &g.holder
	*f = fieldReader{rest: folded[1+size+int(length):], words: words, inner: f.inner}
	*h = Holder{Holdings: h.Holdings[:0]}
	var app App
	for f.next() {
		switch f.field {
		case 2:
			h.Owner = f.word()
		case 3:
			h.User = f.word()
		case 9:
			app.setOverlay(f, &g.unknown)
		case 14:
			h.Holdings = append(h.Holdings, decodeHolding(f, seq, &g.unknown))
		}
	}
	if f.err != nil {
		panic("appregistry: a folded record cannot be read: " + f.err.Error()) // it is our own memory
	}
	h.Overlay, g.unknown = app.Overlay, notKnown{}
}
