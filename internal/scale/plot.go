package scale

import (
	"fmt"
	"io"
	"math"
)

// Line is one figure over sizes; both axes are logarithmic.
type Line struct {
	Name   string
	Points [][2]float64 // size and value, both above 0
}

const (
	plotWidth, plotHeight     = 760, 420
	plotLeft, plotRight       = 70, 210
	plotTop, plotBottom       = 30, 50
	plotInnerW                = plotWidth - plotLeft - plotRight
	plotInnerH                = plotHeight - plotTop - plotBottom
	plotText                  = `font-family="sans-serif" font-size="12" fill="#444"`
	plotGrid                  = `stroke="#ddd" stroke-width="1"`
	leastDecades, mostDecades = -3, 12
)

var plotColours = [...]string{"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#555555"}

// Plot draws lines as an SVG picture.
func Plot(w io.Writer, title string, lines []Line) error {
	x, y := newDecades(), newDecades()
	for _, l := range lines {
		for _, p := range l.Points {
			x.add(p[0])
			y.add(p[1])
		}
	}
	p := &printer{w: w}
	p.f(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`, plotWidth, plotHeight, plotWidth, plotHeight)
	p.f(`<rect width="100%%" height="100%%" fill="white"/>`)
	p.f(`<text x="%d" y="18" %s>%s</text>`, plotLeft, plotText, title)
	for d := x.low; d <= x.high; d++ {
		at := plotLeft + x.part(math.Pow(10, float64(d)))*plotInnerW
		p.f(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" %s/>`, at, plotTop, at, plotTop+plotInnerH, plotGrid)
		p.f(`<text x="%.1f" y="%d" text-anchor="middle" %s>%s</text>`, at, plotTop+plotInnerH+18, plotText, power(d))
	}
	for d := y.low; d <= y.high; d++ {
		at := plotTop + (1-y.part(math.Pow(10, float64(d))))*plotInnerH
		p.f(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" %s/>`, plotLeft, at, plotLeft+plotInnerW, at, plotGrid)
		p.f(`<text x="%d" y="%.1f" text-anchor="end" %s>%s</text>`, plotLeft-8, at+4, plotText, power(d))
	}
	p.f(`<text x="%d" y="%d" text-anchor="middle" %s>tokens</text>`, plotLeft+plotInnerW/2, plotHeight-10, plotText)
	for i, l := range lines {
		colour := plotColours[i%len(plotColours)]
		path := ""
		for _, pt := range l.Points {
			px, py := plotLeft+x.part(pt[0])*plotInnerW, plotTop+(1-y.part(pt[1]))*plotInnerH
			path += fmt.Sprintf("%.1f,%.1f ", px, py)
			p.f(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px, py, colour)
		}
		p.f(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, path, colour)
		p.f(`<text x="%d" y="%d" font-family="sans-serif" font-size="12" fill="%s">%s</text>`, plotLeft+plotInnerW+14, plotTop+14+18*i, colour, l.Name)
	}
	p.f(`</svg>`)
	return p.err
}

// decades is the range of powers of ten that an axis spans.
type decades struct{ low, high int }

func newDecades() decades { return decades{mostDecades, leastDecades} }

func (d *decades) add(v float64) {
	l := math.Log10(v)
	d.low, d.high = min(d.low, int(math.Floor(l))), max(d.high, int(math.Ceil(l)))
}

func (d *decades) part(v float64) float64 {
	return (math.Log10(v) - float64(d.low)) / math.Max(1, float64(d.high-d.low))
}

func power(d int) string {
	if d >= 0 && d <= 4 {
		return fmt.Sprintf("%.0f", math.Pow(10, float64(d)))
	}
	return fmt.Sprintf(`10<tspan dy="-5" font-size="9">%d</tspan>`, d)
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
