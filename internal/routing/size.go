package routing

import "strings"

// MaxSize is the greatest sum of Size of all routes of one Group. In the memory of a validation server they
// take some four times as much, and seven times at worst.
const MaxSize = 64 << 10

// What a part of a route takes besides its text.
const (
	routeSize     = 32
	pathSize      = 32
	starSize      = 16
	segmentSize   = 32 // of one after the first star
	parameterSize = 64
	textSize      = 16 // of a host, a method or a value
)

// Size returns the bytes of all texts of the route, and of what each text takes besides: many short texts
// cost as much as few long ones.
func (r *Route) Size() int {
	size := routeSize
	for _, path := range r.Paths {
		size += sizeOfPath(path)
	}
	for name, values := range r.Query {
		size += parameterSize + len(name)
		size += sizeOf(values)
	}
	return size + sizeOf(r.Hosts) + sizeOf(r.Methods)
}

func sizeOfPath(path string) int {
	size := pathSize + len(path)
	if star := strings.IndexByte(path, '*'); star >= 0 {
		size += starSize*strings.Count(path, "*") + segmentSize*strings.Count(path[star:], "/")
	}
	bare, slash := strings.CutSuffix(path, "/")
	switch {
	case slash:
		size *= 2 // it is kept without the slash, too
	case isFile(bare):
		size += pathSize // for what is below it
	}
	return size
}

func sizeOf(texts []string) (size int) {
	for _, text := range texts {
		size += textSize + len(text)
	}
	return size
}
