package usage

// slab holds records by number, from 1 on. Released records are reused; memory is not given back.
type slab[T any] struct {
	records []T
	free    []uint32
}

// at returns a record. The pointer is valid until the next call of take.
func (s *slab[T]) at(number uint32) *T { return &s.records[number] }

// take returns the number of an empty record.
func (s *slab[T]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		number := s.free[last]
		s.free = s.free[:last]
		return number
	}
	var empty T
	if len(s.records) == 0 {
		s.records = append(s.records, empty) // 0 is none
	}
	s.records = append(s.records, empty)
	return uint32(len(s.records) - 1)
}

func (s *slab[T]) release(number uint32) {
	var empty T
	s.records[number] = empty
	s.free = append(s.free, number)
}
