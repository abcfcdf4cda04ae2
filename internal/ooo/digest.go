package ooo

import "hash/maphash"

// Digest tells two answers apart, byte for byte. It means something only in the
// process that made it, and the zero Digest is that of no answer.
type Digest [2]uint64

var digestSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// DigestOf returns the digest of an answer.
func DigestOf(answer []byte) Digest {
	return Digest{maphash.Bytes(digestSeeds[0], answer), maphash.Bytes(digestSeeds[1], answer) | 1}
}
