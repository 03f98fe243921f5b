package appregistry

import "slices"

// Pause says whose cancels wait for an operator. The zero value: nobody's.
type Pause struct {
	All bool
	// Tenants are those whose cancels wait while those of others do not, in order.
	Tenants []string

	unknown notKnown
}

// IsZero reports whether nobody's cancels wait.
func (p *Pause) IsZero() bool { return !p.All && len(p.Tenants) == 0 }

// Has reports whether a tenant's cancels wait.
func (p *Pause) Has(tenant string) bool {
	if p.All {
		return true
	}
	_, ok := slices.BinarySearch(p.Tenants, tenant)
	return ok
}

// Add has a tenant's cancels wait.
func (p *Pause) Add(tenant string) {
	if at, ok := slices.BinarySearch(p.Tenants, tenant); !ok {
		p.Tenants = slices.Insert(p.Tenants, at, tenant)
	}
}

// pausedAll is the whole record where all cancels wait: what it was when a pause
// had to be everybody's.
const pausedAll = 1

func (p *Pause) encode(w *fieldWriter) {
	for _, tenant := range p.Tenants {
		w.head(1, len(tenant)) // the empty name is one as well
		w.b = append(w.b, tenant...)
	}
	w.b = append(w.b, p.unknown.fields...)
}

func (p *Pause) decode(value []byte) error {
	if len(value) == 1 && value[0] == pausedAll {
		p.All = true
		return nil
	}
	f, err := openRecord(value)
	if err != nil {
		return err
	}
	for f.next() {
		switch f.field {
		case 1:
			p.Tenants = append(p.Tenants, f.text())
		default:
			p.unknown.keep(f)
		}
	}
	slices.Sort(p.Tenants)
	p.Tenants = slices.Compact(p.Tenants)
	return f.finish()
}
