package redisstore

import "strings"

// traceSize is the length of a traceparent of version 00.
const traceSize = 55

// packTrace puts what a look goes on with in front of a notification's id; of
// those that have none it leaves the id alone.
func packTrace(trace, id string) string {
	if len(trace) != traceSize {
		return id
	}
	return trace + "|" + id
}

// cutTrace takes apart what packTrace puts together.
func cutTrace(packed string) (trace, id string) {
	if len(packed) > traceSize && packed[traceSize] == '|' && strings.HasPrefix(packed, "00-") {
		return packed[:traceSize], packed[traceSize+1:]
	}
	return "", packed
}
