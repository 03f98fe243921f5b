package appregistry

// EntryIDs returns all entries in ascending order.
func (r *Registry) EntryIDs() []EntryID { return numbers[EntryID](r, entryTable) }
