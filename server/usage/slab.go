package usage

// chunkBits is the size of a chunk: 256 records.
const chunkBits = 8

// slab holds records by number, from 1 on, in chunks, so that it neither copies them nor has much room for more. Released records are
// reused; memory is not given back. Only the first chunk grows, because most slabs have few records.
type slab[T any] struct {
	chunks [][]T
	free   []uint32
}

// at returns a record. The pointer is valid until the next call of take.
func (s *slab[T]) at(number uint32) *T { return &s.chunks[number>>chunkBits][number&(1<<chunkBits-1)] }

// numbers returns the number after the last.
func (s *slab[T]) numbers() uint32 {
	if len(s.chunks) == 0 {
		return 1
	}
	last := len(s.chunks) - 1
	return uint32(last<<chunkBits + len(s.chunks[last]))
}

// take returns the number of an empty record.
func (s *slab[T]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		number := s.free[last]
		s.free = s.free[:last]
		return number
	}
	if len(s.chunks) == 0 {
		s.chunks = append(s.chunks, make([]T, 1, 4)) // 0 is none
	}
	number := s.numbers()
	last := len(s.chunks) - 1
	switch chunk := s.chunks[last]; {
	case len(chunk) == 1<<chunkBits:
		s.chunks = append(s.chunks, make([]T, 1, 1<<chunkBits))
	case len(chunk) == cap(chunk):
		s.chunks[last] = append(make([]T, 0, 2*len(chunk)), chunk...)[:len(chunk)+1]
	default:
		s.chunks[last] = chunk[:len(chunk)+1]
	}
	return number
}

func (s *slab[T]) release(number uint32) {
	var empty T
	*s.at(number) = empty
	s.free = append(s.free, number)
}
