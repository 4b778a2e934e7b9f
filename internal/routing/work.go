package routing

// The work of matching is counted, in units of some two nanoseconds on an ordinary machine (up to
// four where another program contends for its caches), so that what tenants write into routes
// costs a bounded time, whatever clients send.
const (
	// MaxWork is how much may be spent on one request: some milliseconds. Routes of ordinary
	// Groups take a thousandth.
	MaxWork = 1 << 20

	// What is looked at has to be fetched from memory first, in the worst case.
	routeWork   = 16
	hostWork    = 4
	methodWork  = 2
	patternWork = 8
	piecesWork  = 16 // of a pattern with a star
	segmentWork = 4
	queryWork   = 16
	pairWork    = 12 // of a name with a value
	valueWork   = 12 // of one that is encoded

	bytesCompared = 32 // in a unit
	bytesSearched = 2  // in a unit, for a short text
	longText      = 63 // bytes that are searched for a word at a time

	// Names that are not plain are decoded, and compared in many ways if they begin as they must.
	decodingWork  = 8  // units for a byte
	comparingWork = 24 // units for a byte
)

// searchWork is what it takes to search so many bytes for a text.
func searchWork(bytes, text int) int {
	if text > longText {
		return 1 + bytes + text/bytesCompared
	}
	return 1 + bytes/bytesSearched
}

func (r *Request) spend(units int) { r.spent += units }

// Spend counts work that is done around the matching of routes.
func (r *Request) Spend(units int) { r.spend(units) }

// Bound lets so much be spent from now on, at most MaxWork.
func (r *Request) Bound(units int) { r.spent = MaxWork - min(units, MaxWork) }

// Exhausted reports whether more was spent than may be. From then on nothing matches, so that
// no conclusion must be drawn from what has matched before.
func (r *Request) Exhausted() bool { return r.spent > MaxWork }

// Spent returns what has been spent of MaxWork, for measuring it.
func (r *Request) Spent() int { return r.spent }
