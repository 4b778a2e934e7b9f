package routing

// The work of matching is counted, in units of some two nanoseconds on an ordinary machine (up to
// four where another program contends for its caches), so that the routes of tenants
// cost a bounded time for any request of a client.
const (
	// MaxWork is how much work may be spent on one request: some milliseconds. Routes of ordinary
	// Groups take a thousandth of it.
	MaxWork = 1 << 20

	// In the worst case, everything that is examined has to be fetched from memory first.
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

	// Names that are not plain are decoded, and compared in many ways if they begin like the parameter.
	decodingWork  = 8  // units for a byte
	comparingWork = 24 // units for a byte

	// Values are compared without case, too.
	foldedWork  = 4  // units for a value
	foldingWork = 64 // units for a character beyond ASCII
)

// searchWork returns the work to search this number of bytes for a text.
func searchWork(bytes, text int) int {
	if text > longText {
		return 1 + bytes + text/bytesCompared
	}
	return 1 + bytes/bytesSearched
}

func (r *Request) spend(units int) { r.spent += units }

// Spend counts work that is done in addition to the matching of routes.
func (r *Request) Spend(units int) { r.spend(units) }

// Bound allows this number of units to be spent from now on, at most MaxWork.
func (r *Request) Bound(units int) { r.spent = MaxWork - min(units, MaxWork) }

// Exhausted reports whether more was spent than is allowed. From then on nothing matches, so
// no conclusion may be drawn from what has matched before.
func (r *Request) Exhausted() bool { return r.spent > MaxWork }

// Spent returns how much of MaxWork has been spent, for measurements.
func (r *Request) Spent() int { return r.spent }
