package objectio

// WholeBytes is the size up to which objects are sent whole.
const WholeBytes = wholeBytes
