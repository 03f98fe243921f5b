package appregistry

// words numbers texts that many records share, such as kinds and users. It never
// forgets one, so there is a limit to how many it takes and how long they are.
type words struct {
	numbers     map[string]uint64
	texts       []string // by number, the first being 1
	byAuthority map[Authority]uint64
	authorities []Authority
}

const (
	mostWords   = 1 << 16
	longestWord = 64 // bytes
)

func newWords() *words {
	return &words{numbers: map[string]uint64{}, byAuthority: map[Authority]uint64{}}
}

// number returns 0 where the text is to be written as it is.
func (w *words) number(text string) uint64 {
	if w == nil || text == "" || len(text) > longestWord {
		return 0
	}
	n, ok := w.numbers[text]
	if !ok && len(w.texts) < mostWords {
		w.texts = append(w.texts, text)
		n = uint64(len(w.texts))
		w.numbers[text] = n
	}
	return n
}

func (w *words) text(n uint64) (string, bool) {
	if w == nil || n == 0 || n > uint64(len(w.texts)) {
		return "", false
	}
	return w.texts[n-1], true
}

func (w *words) authority(a Authority) uint64 {
	if w == nil || len(a.Instance)+len(a.Name) > 2*longestWord {
		return 0
	}
	n, ok := w.byAuthority[a]
	if !ok && len(w.authorities) < mostWords {
		w.authorities = append(w.authorities, a)
		n = uint64(len(w.authorities))
		w.byAuthority[a] = n
	}
	return n
}

func (w *words) authorityOf(n uint64) (Authority, bool) {
	if w == nil || n == 0 || n > uint64(len(w.authorities)) {
		return Authority{}, false
	}
	return w.authorities[n-1], true
}
