package web

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.osiris.dev/sdk/internal/host"
)

func init() { http.DefaultTransport = &Transport{} }

// Transport is an http.RoundTripper over the step's granted wasi:http. It is http.DefaultTransport in a driver that
// imports this package.
type Transport struct {
	// ConnectTimeout limits connecting; 10 seconds by default.
	ConnectTimeout time.Duration
	// Timeout limits the wait for the first byte and between bytes; 30 seconds by default.
	Timeout time.Duration
}

// RoundTrip sends one request. The errors contain an osiris.Error.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	out := &host.HTTPRequest{Method: r.Method, Scheme: r.URL.Scheme, Authority: r.URL.Host, Path: r.URL.RequestURI(),
		ConnectTimeout: t.ConnectTimeout, Timeout: t.Timeout}
	if out.Method == "" {
		out.Method = "GET"
	}
	if out.ConnectTimeout == 0 {
		out.ConnectTimeout = 10 * time.Second
	}
	if out.Timeout == 0 {
		out.Timeout = 30 * time.Second
	}
	out.Deadline, _ = r.Context().Deadline()
	unzip := r.Header.Get("Accept-Encoding") == "" && r.Header.Get("Range") == "" && r.Method != "HEAD"
	for name, values := range r.Header {
		for _, value := range values {
			out.Headers = append(out.Headers, host.Pair{Name: strings.ToLower(name), Value: value})
		}
	}
	if unzip {
		out.Headers = append(out.Headers, host.Pair{Name: "accept-encoding", Value: "gzip"})
	}
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if out.Body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		out.Headers = append(out.Headers, host.Pair{Name: "content-length", Value: strconv.Itoa(len(out.Body))})
	}
	in, err := host.Send(out)
	if err != nil {
		return nil, err
	}
	return response(r, in, unzip)
}

func response(r *http.Request, in *host.HTTPResponse, unzip bool) (*http.Response, error) {
	answer := &http.Response{StatusCode: in.Status, Status: fmt.Sprintf("%d %s", in.Status, http.StatusText(in.Status)),
		Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}
	for _, header := range in.Headers {
		answer.Header.Add(header.Name, header.Value)
	}
	bodiless := r.Method == "HEAD" || in.Status == 204 || in.Status == 304
	if n, err := strconv.ParseInt(answer.Header.Get("Content-Length"), 10, 64); err == nil {
		answer.ContentLength = n
	}
	body := &body{in: in, missing: answer.ContentLength}
	if bodiless {
		body.missing = -1
	}
	answer.Body = body
	if unzip && !bodiless && answer.ContentLength != 0 && strings.EqualFold(answer.Header.Get("Content-Encoding"), "gzip") {
		answer.Body = &unzipped{body: body}
		answer.Header.Del("Content-Encoding")
		answer.Header.Del("Content-Length")
		answer.ContentLength, answer.Uncompressed = -1, true
	}
	return answer, nil
}

// body fails if it ends before its announced length.
type body struct {
	in      *host.HTTPResponse
	missing int64
}

func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.in.Read(p)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		if b.missing > 0 {
			return 0, &host.Error{Kind: host.Transient, Message: fmt.Sprintf("the response ends %d bytes too early", b.missing)}
		}
		return 0, io.EOF
	}
	b.missing -= int64(n)
	return n, nil
}

func (b *body) Close() error {
	b.in.Close()
	return nil
}

// unzipped reads a gzip body, whose header is read with the first bytes.
type unzipped struct {
	*body
	zip *gzip.Reader
}

func (u *unzipped) Read(p []byte) (n int, err error) {
	if u.zip == nil {
		if u.zip, err = gzip.NewReader(u.body); err != nil {
			return 0, broken(err)
		}
	}
	n, err = u.zip.Read(p)
	return n, broken(err)
}

func broken(err error) error {
	switch err {
	case nil, io.EOF:
		return err
	case io.ErrUnexpectedEOF:
		return &host.Error{Kind: host.Transient, Message: "the response ends before it is complete", Cause: err}
	case gzip.ErrHeader, gzip.ErrChecksum:
		return &host.Error{Kind: host.Data, Message: "the response is not gzip, although it says so", Cause: err}
	}
	return err
}
