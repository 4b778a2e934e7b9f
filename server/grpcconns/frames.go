package grpcconns

import (
	"encoding/binary"
	"time"
)

// Constants of HTTP/2 (RFC 9113).
const (
	headBytes = 9

	frameData    = 0
	frameHeaders = 1
	frameReset   = 3

	flagEndStream  = 0x1 // of DATA and HEADERS
	flagEndHeaders = 0x4
	flagPadded     = 0x8
)

// frames follows the frames of one direction.
type frames struct {
	skip int // bytes before the first
	head [headBytes]byte
	have int // of head

	kind, flags byte
	stream      uint32
	left        int // of the payload
}

// next consumes bytes up to the end of a frame head, or of the available part of a payload. It reports what they are.
func (f *frames) next(p []byte) (rest, payload []byte, begins, ends bool) {
	if f.skip > 0 {
		n := min(f.skip, len(p))
		f.skip -= n
		return p[n:], nil, false, false
	}
	if f.have < headBytes {
		n := copy(f.head[f.have:], p)
		f.have += n
		if f.have < headBytes {
			return p[n:], nil, false, false
		}
		f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		f.kind, f.flags = f.head[3], f.head[4]
		f.stream = binary.BigEndian.Uint32(f.head[5:]) &^ (1 << 31)
		if f.left == 0 {
			f.have = 0
		}
		return p[n:], nil, true, f.left == 0
	}
	n := min(f.left, len(p))
	f.left -= n
	if f.left == 0 {
		f.have = 0
	}
	return p[n:], p[:n], false, f.left == 0
}

// received follows what the client sends.
func (c *Conn) received(p []byte) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	before, now := c.held, time.Now().UnixNano()
	for len(p) > 0 {
		var payload []byte
		var begins, ends bool
		p, payload, begins, ends = c.in.next(p)
		switch c.in.kind {
		case frameHeaders:
			if begins {
				c.open(now)
			}
			if s := c.streams[c.in.stream]; ends && s != nil {
				s.odd = s.odd || c.in.flags&flagEndHeaders == 0
				c.end(s)
			}
		case frameData:
			s := c.streams[c.in.stream]
			if s == nil {
				continue // it has its response
			}
			if begins {
				c.piece(s, now)
			}
			c.read(s, payload, now)
			if ends {
				c.end(s)
			}
		case frameReset:
			if s := c.streams[c.in.stream]; ends && s != nil {
				held := s.held
				c.close(s)
				// Its handler runs on, or waits to run. When it has, is not known.
				c.held += held
				c.unfinished += held
				c.resets[0] += held
			}
		}
	}
	more := c.held - before
	c.mu.Unlock()
	if more != 0 {
		c.listener.hold(more)
	}
}

// sends follows what the server sends. It reports whether responses to other requests are in progress.
func (c *Conn) sends(p []byte) (more bool) {
	c.mu.Lock()
	before := c.held
	for len(p) > 0 {
		var begins bool
		p, _, begins, _ = c.out.next(p)
		if begins && (c.out.kind == frameReset || c.out.kind <= frameHeaders && c.out.flags&flagEndStream != 0) {
			if s := c.streams[c.out.stream]; s != nil {
				c.close(s)
			}
		}
	}
	less := c.held - before
	more = c.responding > 0
	c.mu.Unlock()
	if less != 0 {
		c.listener.hold(less)
	}
	return more
}

// open notes a new stream, or headers at the end of one.
func (c *Conn) open(now int64) {
	c.since, c.active = now, true
	if c.streams[c.in.stream] != nil {
		return
	}
	s := c.spare
	if s == nil {
		s = &stream{}
	} else {
		c.spare = s.next
	}
	*s = stream{id: c.in.stream}
	if c.streams == nil {
		c.streams = map[uint32]*stream{}
	}
	c.streams[s.id] = s
	c.begin(s, now)
	c.add(s, streamBytes)
}

// begin notes that the client owes the rest of a message, and then the server a response.
func (c *Conn) begin(s *stream, now int64) {
	s.since = now
	last := c.oldest.prev
	s.prev, s.next = last, &c.oldest
	last.next, c.oldest.prev = s, s
}

// unlink notes that neither side owes anything.
func (c *Conn) unlink(s *stream) {
	if s.next == nil {
		return
	}
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
}

// add notes that a stream holds more.
func (c *Conn) add(s *stream, bytes int64) {
	s.held += bytes
	c.held += bytes
	if !s.ended {
		c.unfinished += bytes
	}
}

// piece notes that a piece of a message is about to arrive.
func (c *Conn) piece(s *stream, now int64) {
	if s.ended {
		return // gRPC refuses it
	}
	c.since = now
	s.odd = s.odd || c.in.flags&flagPadded != 0 // only clients that hide something use padding
	if s.whole && c.in.left > 0 {
		c.nextMessage(s, now)
	}
	c.add(s, int64(c.in.left)+frameBytes)
}

// nextMessage notes that another message begins. The server has read the previous one: it handles only one at a time.
func (c *Conn) nextMessage(s *stream, now int64) {
	read := s.held - streamBytes
	c.held -= read
	c.unfinished -= read
	s.held = streamBytes
	s.whole = false
	if s.open {
		c.leave(s)
		c.begin(s, now)
	}
}

// wait notes that a message is complete. Its stream owes its end, or if it may be open, nothing.
func (c *Conn) wait(s *stream, now int64) {
	s.have, s.whole = 0, true
	if !c.listener.config.Streams || c.idle == maxOpen {
		return
	}
	if c.idle == 0 {
		c.idleSince = now
	}
	c.idle++
	s.open = true
	c.unlink(s)
}

// leave notes that a stream is no longer open without a request.
func (c *Conn) leave(s *stream) {
	s.open = false
	c.idle--
}

// read follows the messages in a stream.
func (c *Conn) read(s *stream, payload []byte, now int64) {
	for len(payload) > 0 && !s.odd && !s.ended {
		if s.whole {
			c.nextMessage(s, now)
		}
		if s.have < len(s.prefix) {
			n := copy(s.prefix[s.have:], payload)
			s.have, payload = s.have+n, payload[n:]
			if s.have < len(s.prefix) {
				return
			}
			s.left = int64(binary.BigEndian.Uint32(s.prefix[1:]))
		}
		n := min(s.left, int64(len(payload)))
		s.left, payload = s.left-n, payload[n:]
		if s.left == 0 {
			c.wait(s, now)
		}
	}
}

// end notes that the client has ended a stream, if its frame says so. From now on the server owes the response.
func (c *Conn) end(s *stream) {
	if c.in.flags&flagEndStream == 0 || s.ended || s.odd {
		return
	}
	s.ended = true
	c.responding++
	c.unfinished -= s.held
	if s.open {
		c.leave(s)
	}
	if s.next == nil {
		c.begin(s, c.since)
	}
}

// close notes that a stream has its response, or that the client does not want it any more.
func (c *Conn) close(s *stream) {
	c.unlink(s)
	delete(c.streams, s.id)
	c.held -= s.held
	if s.ended {
		c.responding--
	} else {
		c.unfinished -= s.held
	}
	if s.open {
		c.leave(s)
	}
	c.since = max(c.since, s.since)
	s.next, c.spare = c.spare, s
}
