// Package keyformat is the language of key texts, read the same way by the manager that
// mints them, the validation servers that are shown them, and scanners that hunt for
// leaked ones. A key text is
//
//	<prefix>_<43 characters: 32 random bytes><6 characters: checksum>
//
// in base62 with the alphabet 0-9A-Za-z. The checksum is the CRC-32 (IEEE 802.3) of
// everything before it. There is one text for each 32 bytes: a body of 2^256 or more and
// a checksum in another spelling are refused.
//
// The only '_' makes a double click select the key whole; prefix and checksum let anyone
// tell a key from a typing error without asking a server. Neither is a secret nor a proof:
// whether a key is valid only its digest says.
package keyformat
