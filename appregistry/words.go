package appregistry

// words numbers texts and authorities that many records share, such as kinds and
// users. It never forgets one, so there is a limit to how many it takes and how
// long they are. A nil one numbers nothing.
type words struct {
	texts       numbering[string]
	authorities numbering[Authority]
	stored      map[string]Authority // by their fields in records of a store
}

const (
	mostWords   = 1 << 16
	longestWord = 64 // bytes
)

func newWords() *words {
	return &words{
		texts: numbering[string]{of: map[string]uint64{}}, authorities: numbering[Authority]{of: map[Authority]uint64{}},
		stored: map[string]Authority{},
	}
}

// number returns 0 where the text is to be written as it is.
func (w *words) number(text string) uint64 {
	if w == nil || text == "" || len(text) > longestWord {
		return 0
	}
	return w.texts.number(text)
}

func (w *words) text(n uint64) (string, bool) {
	if w == nil {
		return "", false
	}
	return w.texts.value(n)
}

// has returns a text that is numbered.
func (w *words) has(text []byte) (string, bool) {
	if w == nil {
		return "", false
	}
	n, ok := w.texts.of[string(text)]
	if !ok {
		return "", false
	}
	return w.texts.values[n-1], true
}

// readBefore returns the authority that such fields were read as.
func (w *words) readBefore(fields []byte) (a Authority, ok bool) {
	if w != nil {
		a, ok = w.stored[string(fields)]
	}
	return a, ok
}

func (w *words) read(fields []byte, a Authority) {
	if w != nil && len(w.stored) < mostWords && len(fields) <= 3*longestWord {
		w.stored[string(fields)] = a
	}
}

func (w *words) authority(a Authority) uint64 {
	if w == nil || len(a.Instance)+len(a.Name) > 2*longestWord {
		return 0
	}
	return w.authorities.number(a)
}

func (w *words) authorityOf(n uint64) (Authority, bool) {
	if w == nil {
		return Authority{}, false
	}
	return w.authorities.value(n)
}

// numbering gives each value a number, the first being 1, up to mostWords of them.
type numbering[T comparable] struct {
	of     map[T]uint64
	values []T
}

// number returns 0 for a value that came when all numbers were given.
func (l *numbering[T]) number(v T) uint64 {
	n, ok := l.of[v]
	if !ok && len(l.values) < mostWords {
		l.values = append(l.values, v)
		n = uint64(len(l.values))
		l.of[v] = n
	}
	return n
}

func (l *numbering[T]) value(n uint64) (v T, ok bool) {
	if n == 0 || n > uint64(len(l.values)) {
		return v, false
	}
	return l.values[n-1], true
}
