// Package keyformat defines the format of key texts. The manager that mints keys, the validation servers
// that receive them, and scanners for leaked keys all read the format with this package. A key text is
//
//	<prefix>_<43 characters: 32 random bytes><6 characters: checksum>
//
// in base62 with the alphabet 0-9A-Za-z. The checksum is the CRC-32 (IEEE 802.3) of
// everything before it. Each 32 bytes have exactly one text: a body of 2^256 or more and
// a checksum in another spelling are refused.
//
// Since there is only one '_', a double click selects the whole key. With the prefix and the checksum anyone
// can distinguish a key from a typing error without asking a server. Neither is a secret nor a proof:
// only the digest determines whether a key is valid.
package keyformat
