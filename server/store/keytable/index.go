package keytable

import "github.com/keyward-dev/keyward/server/store/openhash"

// bucketBits splits an index, so that growing it copies a small part at a time: 50 KB with a million keys, 500 KB with ten
// million. More and smaller parts would be more work for each garbage collection.
const bucketBits = 8

// index finds the numbers of records by hashes. The upper bits of a hash select the bucket.
type index struct {
	buckets [1 << bucketBits]openhash.Table
	len     int
}

func (x *index) bucket(hash uint64) *openhash.Table { return &x.buckets[hash>>(64-bucketBits)] }

func (x *index) seek(hash uint64) openhash.Cursor { return x.bucket(hash).Seek(hash) }

func (x *index) insert(hash uint64, number uint32) {
	x.bucket(hash).Insert(hash, number)
	x.len++
}

func (x *index) remove(hash uint64, number uint32) {
	if x.bucket(hash).Remove(hash, number) {
		x.len--
	}
}
