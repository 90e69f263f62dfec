// Package web calls HTTP APIs, over the addresses that the step was granted.
//
// A driver that imports it can use net/http as usual: http.Get and http.DefaultClient work. [Client] adds what
// connectors need: retries as the server asks, errors by kind, authorization, a rate limit and pages. The driver's spec
// must request `http`.
package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/exact"
)

// Client sends requests. The zero value is ready to use.
type Client struct {
	// HTTP sends the requests; http.DefaultClient by default.
	HTTP *http.Client
	// Header is sent with every request.
	Header http.Header
	// Auth authorizes every request: [Bearer], [Basic], [APIKey] or [ClientCredentials].
	Auth Auth
	// Retries is the number of attempts after the first one; 3 by default, negative for none.
	Retries int
	// Base is the wait before the first retry, which doubles for each further one; 500 ms by default.
	Base time.Duration
	// MaxWait is the longest wait; 60 s by default. If the server asks for a longer one, the request fails.
	MaxWait time.Duration
	// MaxBytes is the largest response, decompressed; 64 MiB by default.
	MaxBytes int64
	// PerSecond limits the requests per second, evenly spaced; 0 is no limit.
	PerSecond float64

	next time.Time
	sent int
}

// Response is a response that was read completely.
type Response struct {
	Status int
	Header http.Header
	// URL is the address of the response, after redirects.
	URL  *url.URL
	Body []byte
}

// JSON decodes the body. Numbers in an `any` become json.Number, so that no digit is lost.
func (r *Response) JSON(to any) error {
	decoder := json.NewDecoder(bytes.NewReader(r.Body))
	decoder.UseNumber()
	if err := decoder.Decode(to); err != nil {
		return osiris.Errorf(osiris.KindData, "the response of `%s` is not the JSON that was expected: %w: %s", show(r.URL),
			err, excerpt(r.Body))
	}
	return nil
}

// Sent is the number of requests that were sent, including retries.
func (c *Client) Sent() int { return c.sent }

// Get sends a GET.
func (c *Client) Get(address string) (*Response, error) {
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		return nil, osiris.Errorf(osiris.KindConfig, "`%s` is not a valid address: %w", address, err)
	}
	return c.Do(request)
}

// GetJSON sends a GET and decodes the response.
func (c *Client) GetJSON(address string, to any) error {
	response, err := c.Get(address)
	if err != nil {
		return err
	}
	return response.JSON(to)
}

// PostJSON sends a POST with a JSON body and decodes the response, unless to is nil. It is not retried.
func (c *Client) PostJSON(address string, body, to any) error {
	text, err := exact.Marshal(body)
	if err != nil {
		return osiris.Errorf(osiris.KindInternal, "cannot write the request as JSON: %w", err)
	}
	request, err := http.NewRequest("POST", address, bytes.NewReader(text))
	if err != nil {
		return osiris.Errorf(osiris.KindConfig, "`%s` is not a valid address: %w", address, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	if err != nil || to == nil {
		return err
	}
	return response.JSON(to)
}

// Do sends a request and reads the response. A status other than 2xx is an error: KindAuth (401), KindDenied (403),
// KindNotFound (404), KindRateLimited (429), KindTransient (408, 425, 5xx), KindConfig (others). Failures that may pass
// are retried if the method is safe to repeat, after the wait that the server asks for.
func (c *Client) Do(request *http.Request) (*Response, error) {
	for name, values := range c.Header {
		if request.Header.Get(name) == "" {
			request.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	repeatable := slices.Contains([]string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}, request.Method) &&
		(request.Body == nil || request.GetBody != nil)
	renewed := false
	for attempt := 1; ; attempt++ {
		if err := c.authorize(request); err != nil {
			return nil, err
		}
		response, err := c.once(request)
		if err == nil {
			return response, nil
		}
		if auth, ok := c.Auth.(renewable); ok && !renewed && err.Kind == osiris.KindAuth && response != nil && repeatable {
			auth.renew()
			renewed = true
			attempt--
		} else {
			wait, again := c.wait(attempt, response, err)
			if !again || !repeatable {
				return nil, err
			}
			osiris.Log.Info("retrying a request", "because", err.Message, "wait_ms", wait.Milliseconds())
			time.Sleep(wait)
		}
		if request.GetBody != nil {
			if request.Body, _ = request.GetBody(); request.Body == nil {
				return nil, err
			}
		}
	}
}

func (c *Client) authorize(request *http.Request) error {
	if c.Auth == nil {
		return nil
	}
	return c.Auth.Authorize(c, request)
}

// once sends a request. If a server responded with an error, both results are set.
func (c *Client) once(request *http.Request) (*Response, *osiris.Error) {
	if c.PerSecond > 0 {
		now := time.Now()
		if c.next.After(now) {
			time.Sleep(c.next.Sub(now))
			now = c.next
		}
		c.next = now.Add(time.Duration(float64(time.Second) / c.PerSecond))
	}
	c.sent++
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	asked := request.Method + " " + show(request.URL)
	raw, err := client.Do(request)
	if err != nil {
		return nil, failed(asked, err)
	}
	defer raw.Body.Close()
	most := c.MaxBytes
	if most == 0 {
		most = 64 << 20
	}
	body, err := io.ReadAll(io.LimitReader(raw.Body, most+1))
	if err != nil {
		return nil, failed(asked, err)
	}
	if int64(len(body)) > most {
		return nil, osiris.Errorf(osiris.KindData, "the response to `%s` is larger than the %d bytes that it may be", asked, most)
	}
	response := &Response{Status: raw.StatusCode, Header: raw.Header, URL: raw.Request.URL, Body: body}
	if raw.StatusCode >= 200 && raw.StatusCode < 300 && raw.StatusCode != 202 {
		return response, nil
	}
	return response, statusError(asked, response)
}

// failed is the error of a request without a response.
func failed(asked string, err error) *osiris.Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	known := osiris.AsError(err)
	var host *osiris.Error
	if !errors.As(err, &host) && known.Kind == osiris.KindInternal {
		// A transport's own errors, as in a native test.
		known.Kind = osiris.KindTransient
	}
	known.Message = fmt.Sprintf("`%s` failed: %s", asked, known.Message)
	return known
}

func statusError(asked string, r *Response) *osiris.Error {
	kind := osiris.KindConfig
	switch {
	case r.Status == 401:
		kind = osiris.KindAuth
	case r.Status == 403:
		kind = osiris.KindDenied
	case r.Status == 404:
		kind = osiris.KindNotFound
	case r.Status == 429:
		kind = osiris.KindRateLimited
	case r.Status == 202 || r.Status == 408 || r.Status == 425 || r.Status >= 500:
		kind = osiris.KindTransient
	}
	wait := askedWait(r.Status, r.Header, time.Now())
	if r.Status == 403 && wait != nil {
		// A server that says when the request limit is reset refuses the rate, not the request.
		kind = osiris.KindRateLimited
	}
	message := fmt.Sprintf("`%s` answered %d", asked, r.Status)
	if reason := http.StatusText(r.Status); reason != "" {
		message += " (" + strings.ToLower(reason) + ")"
	}
	if wait != nil {
		message += fmt.Sprintf(" and asks to wait %d s", int64((*wait+time.Second-1)/time.Second))
	}
	if text := excerpt(r.Body); text != "" {
		message += ": " + text
	}
	return &osiris.Error{Kind: kind, Code: fmt.Sprintf("HTTP %d", r.Status), Message: message, RetryAfter: wait}
}

// passing are statuses that a retry may cure. Others may be, too, if the server says when to retry.
var passing = []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}

func (c *Client) wait(attempt int, response *Response, err *osiris.Error) (time.Duration, bool) {
	retries, base, most := c.Retries, c.Base, c.MaxWait
	if retries == 0 {
		retries = 3
	}
	if base == 0 {
		base = 500 * time.Millisecond
	}
	if most == 0 {
		most = time.Minute
	}
	again := slices.Contains([]osiris.Kind{osiris.KindTransient, osiris.KindRateLimited, osiris.KindTimeout}, err.Kind)
	if response != nil {
		again = slices.Contains(passing, response.Status) || err.RetryAfter != nil
	}
	if !again || attempt > retries {
		return 0, false
	}
	if err.RetryAfter != nil && *err.RetryAfter > 0 {
		return *err.RetryAfter, *err.RetryAfter <= most
	}
	longest := min(base<<min(attempt-1, 16), most)
	// One half is random, so that many clients do not return at the same time.
	return longest/2 + time.Duration(rand.Float64()*float64(longest/2)), true
}

// show is an address without user information and query, which may hold secrets.
func show(u *url.URL) string {
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// excerpt is the start of a body on one line.
func excerpt(body []byte) string {
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 2048)]), "\ufffd")), " ")
	if runes := []rune(line); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return line
}
