package keytable

import "github.com/keyward-dev/keyward/server/store/openhash"

// bucketBits splits an index, so that growing it means to copy a small part at a time: with
// a million keys that is 64 KB, with ten million 512 KB. More and smaller parts would be more for
// each garbage collection to look after.
const bucketBits = 8

// index finds the numbers of records by hashes. The upper bits choose the bucket.
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
