// Package seal is the keys of sealed layers. Each layer has a random data key, which is
// stored wrapped for every key that may open the layer; each object of the layer is
// sealed under a key of its own, derived from the data key, the object's name and a
// random salt. So an object that stands in another's place does not open, no nonce is
// used twice under one key, and to add a key or to change a passphrase no data is
// touched.
//
// Nothing here is a cipher of our own: objects are sealed with AES-256-GCM and keys
// derived with HKDF-SHA256 of the standard library; data keys are wrapped by age (for
// public keys), by a key management service through gocloud.dev/secrets, or under a key
// that Argon2id makes of a passphrase.
package seal
