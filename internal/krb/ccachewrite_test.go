package krb

import (
	"encoding/binary"
)

// writeCCache encodes a ticket in any of the four versions of the FILE format.
func writeCCache(t *ticket, version uint8) []byte {
	var order binary.AppendByteOrder = binary.BigEndian
	if version < 3 {
		order = binary.LittleEndian
	}
	b := []byte{5, version}
	data := func(d []byte) { b = append(order.AppendUint32(b, uint32(len(d))), d...) }
	name := func(p Principal) {
		count := uint32(len(p.Components))
		if version == 1 {
			count++
		} else {
			b = order.AppendUint32(b, 1)
		}
		b = order.AppendUint32(b, count)
		data([]byte(p.Realm))
		for _, c := range p.Components {
			data([]byte(c))
		}
	}
	if version == 4 {
		b = order.AppendUint16(b, 12)
		b = append(b, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	name(t.client)
	entry := func(server Principal, ticket []byte) {
		name(t.client)
		name(server)
		b = order.AppendUint16(b, uint16(t.key.KeyType))
		if version == 3 {
			b = order.AppendUint16(b, uint16(t.key.KeyType))
		}
		data(t.key.KeyValue)
		b = order.AppendUint32(b, uint32(t.start.Unix()))
		b = order.AppendUint32(b, uint32(t.start.Unix()))
		b = order.AppendUint32(b, uint32(t.end.Unix()))
		b = append(b, make([]byte, 4+1+4)...) // renew till, is session key, flags
		b = order.AppendUint32(b, 1)          // one address
		b = order.AppendUint16(b, 2)
		data([]byte{127, 0, 0, 1})
		b = order.AppendUint32(b, 0) // no authorization data
		data(ticket)
		data(nil)
	}
	entry(Principal{Components: []string{"krb5_ccache_conf_data", "fast_avail"}, Realm: "X-CACHECONF:"}, []byte("yes"))
	raw, err := t.ticket.Marshal()
	if err != nil {
		panic(err)
	}
	entry(t.server, raw)
	return b
}
