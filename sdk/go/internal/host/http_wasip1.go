package host

import (
	"time"
	"unsafe"
)

//go:wasmimport wasi:http/types@0.2.12 [static]fields.from-list
func fieldsFromList(entries, count uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]fields.entries
func fieldsEntries(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]fields
func fieldsDrop(self uint32)

//go:wasmimport wasi:http/types@0.2.12 [constructor]outgoing-request
func newOutgoingRequest(headers uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-method
func requestSetMethod(self, tag, name, length uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-scheme
func requestSetScheme(self, some, tag, name, length uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-authority
func requestSetAuthority(self, some, text, length uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-path-with-query
func requestSetPath(self, some, text, length uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.body
func requestBody(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [constructor]request-options
func newRequestOptions() uint32

//go:wasmimport wasi:http/types@0.2.12 [method]request-options.set-connect-timeout
func optionsSetConnectTimeout(self, some uint32, duration uint64) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]request-options.set-first-byte-timeout
func optionsSetFirstByteTimeout(self, some uint32, duration uint64) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]request-options.set-between-bytes-timeout
func optionsSetBetweenBytesTimeout(self, some uint32, duration uint64) uint32

//go:wasmimport wasi:http/outgoing-handler@0.2.12 handle
func outgoingHandle(request, some, options uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-body.write
func outgoingBodyWrite(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]outgoing-body.finish
func outgoingBodyFinish(self, some, trailers uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.subscribe
func futureSubscribe(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.get
func futureGet(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]future-incoming-response
func futureDrop(self uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.status
func responseStatus(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.headers
func responseHeaders(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.consume
func responseConsume(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-response
func responseDrop(self uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-body.stream
func incomingBodyStream(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]incoming-body.finish
func incomingBodyFinish(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-body
func incomingBodyDrop(self uint32)

//go:wasmimport wasi:http/types@0.2.12 [method]future-trailers.subscribe
func trailersSubscribe(self uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]future-trailers.get
func trailersGet(self uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]future-trailers
func trailersDrop(self uint32)

//go:wasmimport wasi:http/types@0.2.12 http-error-code
func httpErrorCode(ioError uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/error@0.2.12 [resource-drop]error
func ioErrorDrop(self uint32)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.subscribe
func inputSubscribe(self uint32) uint32

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.read
func inputStreamRead(self uint32, length uint64, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func inputDrop(self uint32)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.blocking-write-and-flush
func outputWrite(self, bytes, length uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func outputDrop(self uint32)

//go:wasmimport wasi:io/poll@0.2.12 poll
func pollPoll(list, count uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/poll@0.2.12 [resource-drop]pollable
func pollableDrop(self uint32)

//go:wasmimport wasi:clocks/monotonic-clock@0.2.12 subscribe-duration
func subscribeDuration(nanoseconds uint64) uint32

// HTTPRequest is a request to send.
type HTTPRequest struct {
	Method, Scheme, Authority, Path string
	Headers                         []Pair
	Body                            []byte
	// ConnectTimeout limits connecting, Timeout the wait for the first byte and between bytes.
	ConnectTimeout, Timeout time.Duration
	// Deadline limits the whole exchange, unless it is zero.
	Deadline time.Time
}

// HTTPResponse is a response whose body is read as it arrives.
type HTTPResponse struct {
	Status   int
	Headers  []Pair
	body     uint32
	stream   uint32
	timeout  time.Duration
	deadline time.Time
}

func httpError(kind Kind, message string) error { return &Error{Kind: kind, Message: message} }

var errMalformed = &Error{Kind: Config, Message: "the request's method, address or a header is malformed"}

var methods = map[string]uint32{"GET": 0, "HEAD": 1, "POST": 2, "PUT": 3, "DELETE": 4, "CONNECT": 5, "OPTIONS": 6,
	"TRACE": 7, "PATCH": 8}

// Send sends a request and waits for the head of the response.
func Send(r *HTTPRequest) (*HTTPResponse, error) {
	entries, count := lowerPairs(r.Headers)
	fieldsFromList(entries, count, begin())
	end()
	if u8At(0) != 0 {
		return nil, errMalformed
	}
	request := newOutgoingRequest(u32At(4))
	tag, known := methods[r.Method]
	if !known {
		tag = 9
	}
	failed := uint32(0)
	p, n := lowerText(r.Method)
	failed |= requestSetMethod(request, tag, p, n)
	failed |= requestSetScheme(request, 1, flag(r.Scheme == "https"), 0, 0)
	p, n = lowerText(r.Authority)
	failed |= requestSetAuthority(request, 1, p, n)
	p, n = lowerText(r.Path)
	failed |= requestSetPath(request, 1, p, n)
	end()
	if failed != 0 {
		return nil, errMalformed
	}
	requestBody(request, begin())
	end()
	body := u32At(4)
	options := newRequestOptions()
	optionsSetConnectTimeout(options, 1, uint64(r.ConnectTimeout))
	optionsSetFirstByteTimeout(options, 1, uint64(r.Timeout))
	// The time between bytes is measured here, too, because a broken body does not say that it was a timeout.
	optionsSetBetweenBytesTimeout(options, 1, uint64(r.Timeout+5*time.Second))
	outgoingHandle(request, 1, options, begin())
	end()
	if u8At(0) != 0 {
		return nil, errorCode(8)
	}
	future := u32At(8)
	defer futureDrop(future)
	// A server may respond before it has read everything, so the response says what went wrong.
	written := writeBody(body, r.Body)
	if err := wait(futureSubscribe(future), r.ConnectTimeout+r.Timeout, r.Deadline); err != nil {
		return nil, err
	}
	futureGet(future, begin())
	end()
	switch {
	case u8At(0) == 0 || u8At(8) != 0:
		if written != nil {
			return nil, written
		}
		return nil, httpError(Internal, "the host gave no response")
	case u8At(16) != 0:
		return nil, errorCode(24)
	}
	return newResponse(u32At(24), r)
}

func newResponse(response uint32, r *HTTPRequest) (*HTTPResponse, error) {
	defer responseDrop(response)
	answer := &HTTPResponse{Status: int(responseStatus(response)), timeout: r.Timeout, deadline: r.Deadline}
	headers := responseHeaders(response)
	fieldsEntries(headers, begin())
	end()
	entries := texts(u32At(0), 2*u32At(4))
	for i := 0; i < len(entries); i += 2 {
		answer.Headers = append(answer.Headers, Pair{entries[i], entries[i+1]})
	}
	fieldsDrop(headers)
	responseConsume(response, begin())
	end()
	if u8At(0) != 0 {
		return nil, httpError(Internal, "the response has no body")
	}
	answer.body = u32At(4)
	incomingBodyStream(answer.body, begin())
	end()
	if u8At(0) != 0 {
		return nil, httpError(Internal, "the response's body was taken already")
	}
	answer.stream = u32At(4)
	return answer, nil
}

func writeBody(body uint32, bytes []byte) error {
	if len(bytes) > 0 {
		outgoingBodyWrite(body, begin())
		end()
		if err := writeStream(u32At(4), bytes); err != nil {
			return err
		}
	}
	outgoingBodyFinish(body, 0, 0, begin())
	end()
	if u8At(0) != 0 {
		return errorCode(8)
	}
	return nil
}

func writeStream(stream uint32, bytes []byte) error {
	defer outputDrop(stream)
	for len(bytes) > 0 {
		part := bytes[:min(len(bytes), 4096)]
		p, n := lowered(part)
		outputWrite(stream, p, n, begin())
		end()
		if u8At(0) != 0 {
			return streamError()
		}
		bytes = bytes[len(part):]
	}
	return nil
}

// Read returns what has arrived, at least one byte; 0 bytes are the end.
func (r *HTTPResponse) Read(b []byte) (int, error) {
	for r.stream != 0 && len(b) > 0 {
		if err := wait(inputSubscribe(r.stream), r.timeout, r.deadline); err != nil {
			return 0, err
		}
		inputStreamRead(r.stream, uint64(min(len(b), 1<<20)), begin())
		end()
		if u8At(0) != 0 {
			if u8At(4) != 0 {
				return 0, r.finish()
			}
			return 0, streamError()
		}
		if n := copy(b, view(u32At(4), u32At(8))); n > 0 {
			return n, nil
		}
	}
	return 0, nil
}

// finish reads the trailers, which show whether the body was complete.
func (r *HTTPResponse) finish() error {
	inputDrop(r.stream)
	trailers := incomingBodyFinish(r.body)
	r.stream, r.body = 0, 0
	defer trailersDrop(trailers)
	if err := wait(trailersSubscribe(trailers), r.timeout, r.deadline); err != nil {
		return err
	}
	trailersGet(trailers, begin())
	end()
	if u8At(0) == 1 && u8At(8) == 0 && u8At(16) == 1 {
		return errorCode(24)
	}
	return nil
}

// Close ends the exchange.
func (r *HTTPResponse) Close() {
	if r.stream != 0 {
		inputDrop(r.stream)
		incomingBodyDrop(r.body)
		r.stream, r.body = 0, 0
	}
}

// wait waits for a pollable, which it drops.
func wait(pollable uint32, most time.Duration, deadline time.Time) error {
	defer pollableDrop(pollable)
	overall := false
	if !deadline.IsZero() {
		if left := time.Until(deadline); left < most {
			most, overall = max(left, 0), true
		}
	}
	timer := subscribeDuration(uint64(most))
	defer pollableDrop(timer)
	pollPoll(lowerWords([]uint32{pollable, timer}), 2, begin())
	end()
	// The pollable comes first if both are ready.
	if u32At(4) > 0 && word(u32At(0), 0) == 0 {
		return nil
	}
	if overall {
		return httpError(Timeout, "the response took longer than it may as a whole")
	}
	return httpError(Timeout, "the server was silent for longer than it may be")
}

// streamError is the error of a stream's result, whose payload begins at 4.
func streamError() error {
	if u8At(4) != 0 {
		return httpError(Transient, "the connection was closed")
	}
	ioError := u32At(8)
	defer ioErrorDrop(ioError)
	httpErrorCode(ioError, begin())
	end()
	if u8At(0) == 1 {
		return errorCode(8)
	}
	return httpError(Transient, "the connection broke before the response was complete")
}

// The cases of wasi:http's error-code, in its order, that need another kind than Internal.
var errorCodes = map[uint8]struct {
	kind    Kind
	message string
}{
	0:  {Timeout, "finding the host's address took too long"},
	1:  {Transient, "the host's name is not known"},
	2:  {Transient, "the host's name is not known"},
	3:  {Transient, "the host cannot be reached"},
	4:  {Denied, "the host's name leads to an address that was not granted"},
	5:  {Transient, "the host cannot be reached"},
	6:  {Transient, "the connection was refused"},
	7:  {Transient, "the connection broke"},
	8:  {Timeout, "connecting took too long"},
	9:  {Timeout, "the server was silent for longer than it may be"},
	10: {Timeout, "the server took too long to receive the request"},
	11: {Transient, "too many connections are open"},
	12: {Transient, "the server and this side cannot agree on TLS"},
	13: {Auth, "the server cannot prove its identity: its certificate is expired, names another host or leads to no trusted root"},
	14: {Transient, "the server refused TLS"},
	15: {Denied, "the step was not granted this request"},
	19: {Config, "the address is malformed"},
	20: {Config, "the address is too long"},
	25: {Transient, "the response ends before it is complete"},
	26: {Data, "the response is larger than it may be"},
	27: {Data, "the response is larger than it may be"},
	28: {Data, "the response is larger than it may be"},
	33: {Timeout, "the server was silent for longer than it may be"},
	35: {Transient, "the server does not speak HTTP as it should"},
}

func errorCode(offset uintptr) error {
	tag := u8At(offset)
	if known, ok := errorCodes[tag]; ok {
		return httpError(known.kind, known.message)
	}
	if tag == 38 && u8At(offset+8) == 1 {
		return httpError(Internal, textAt(offset+12))
	}
	return httpError(Internal, "HTTP failed with error-code "+string('0'+tag/10)+string('0'+tag%10))
}
