package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/web"
)

// server responds with what `answer` writes, and counts the requests.
func server(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (string, *int) {
	count := new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*count++
		answer(*count, w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, count
}

func TestStatusesBecomeKindsAndPassingOnesAreRetried(t *testing.T) {
	for _, c := range []struct {
		status, requests int
		kind             osiris.Kind
	}{
		{401, 1, osiris.KindAuth}, {403, 1, osiris.KindDenied}, {404, 1, osiris.KindNotFound}, {429, 3, osiris.KindRateLimited},
		{400, 1, osiris.KindConfig}, {408, 3, osiris.KindTransient}, {501, 1, osiris.KindTransient}, {503, 3, osiris.KindTransient},
	} {
		url, count := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, "a\nreason")
		})
		client := &web.Client{Retries: 2, Base: time.Microsecond}
		_, err := client.Get(url + "/x?secret=1")
		known := osiris.AsError(err)
		want := fmt.Sprintf("/x` answered %d (%s): a reason", c.status, strings.ToLower(http.StatusText(c.status)))
		if known == nil || known.Kind != c.kind || *count != c.requests || known.Code != fmt.Sprintf("HTTP %d", c.status) ||
			!strings.Contains(known.Message, want) || strings.Contains(known.Message, "secret") {
			t.Errorf("%d: %d requests, %+v", c.status, *count, known)
		}
	}
}

func TestTheServersWaitIsRespected(t *testing.T) {
	url, count := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.Header().Set("Retry-After", "0.02")
			w.WriteHeader(403)
		}
	})
	start := time.Now()
	if _, err := (&web.Client{}).Get(url); err != nil || *count != 2 || time.Since(start) < 20*time.Millisecond {
		t.Error(err, *count, time.Since(start))
	}
	long, count := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(403)
	})
	_, err := (&web.Client{}).Get(long)
	if known := osiris.AsError(err); *count != 1 || known.Kind != osiris.KindRateLimited || known.RetryAfter == nil || *known.RetryAfter != time.Hour ||
		!strings.Contains(known.Message, "asks to wait 3600 s") {
		t.Error(err, *count)
	}
	post, count := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	if err := (&web.Client{Base: time.Microsecond}).PostJSON(post, 1, nil); err == nil || *count != 1 {
		t.Error("a POST was repeated", err, *count)
	}
	broken, count := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "half")
	})
	_, err = (&web.Client{Retries: 1, Base: time.Microsecond}).Get(broken)
	if known := osiris.AsError(err); *count != 2 || known.Kind != osiris.KindTransient {
		t.Error(err, *count)
	}
}

type page struct {
	Items []int
	Next  int
}

func TestPagesFollowEachOtherAndCirclesAreDetected(t *testing.T) {
	next := func(p *page, r *web.Response) string { return web.Numbered(r, "page", p.Next) }
	read := func(url string, next func(*page, *web.Response) string) (items []int, err error) {
		for p, err := range web.Pages(&web.Client{}, url, next) {
			if err != nil {
				return items, err
			}
			items = append(items, p.Items...)
		}
		return items, nil
	}
	for body, want := range map[string]string{
		`{"items":[%d],"next":%[2]d}`: "[1 2 3] <nil>",
		`{"items":[%d],"next":2}`:     "[1 2] the server goes in circles: after page 2 it names a page that was read already",
	} {
		url, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, body, n, (n+1)%4)
		})
		items, err := read(url, next)
		if got := fmt.Sprint(items, err); got != strings.ReplaceAll(want, "%!(EXTRA", "") && !strings.HasPrefix(got, want) {
			t.Error(got)
		}
	}
	links, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n < 3 {
			w.Header().Set("Link", fmt.Sprintf(`</%d>; title="a, rel=next"; rel=next`, n))
		}
		fmt.Fprintf(w, `{"items":[%d]}`, n)
	})
	if items, err := read(links, web.NextLink); err != nil || len(items) != 3 {
		t.Error(items, err)
	}
	same, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"items":[1],"next":9}`)
	})
	number := 0
	_, err := read(same, func(_ *page, r *web.Response) string { number++; return web.Numbered(r, "page", number) })
	if err == nil || !strings.Contains(err.Error(), "the same page twice, as page 1 and page 2") {
		t.Error(err)
	}
	if got := web.With("http://x/?a=1&page=1&b=2#f", "page", 2); got != "http://x/?a=1&b=2&page=2#f" {
		t.Error(got)
	}
}

func TestClientCredentialsAreFetchedAndRenewed(t *testing.T) {
	tokens := 0
	login, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || user != "me" || password != "p%2Bw" {
			w.WriteHeader(400)
			return
		}
		tokens++
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprint("t", tokens), "expires_in": 3600})
	})
	api, count := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
		// The first token is refused after two requests.
		if got := r.Header.Get("Authorization"); got == "Bearer t1" && n > 2 || got != "Bearer t1" && got != "Bearer t2" {
			w.WriteHeader(401)
		}
	})
	client := &web.Client{Auth: &web.ClientCredentials{TokenURL: login, ClientID: "me", ClientSecret: "p+w"}}
	for range 4 {
		if _, err := client.Get(api); err != nil {
			t.Fatal(err)
		}
	}
	if tokens != 2 || *count != 5 {
		t.Error(tokens, *count)
	}
	wrong := &web.Client{Auth: &web.ClientCredentials{TokenURL: login, ClientID: "you"}}
	if _, err := wrong.Get(api); osiris.AsError(err).Kind != osiris.KindAuth {
		t.Error(err)
	}
}

func TestRequestsAreSpacedAndBounded(t *testing.T) {
	url, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `"123456789"`) })
	client := &web.Client{PerSecond: 100}
	start := time.Now()
	for range 4 {
		if err := client.GetJSON(url, new(string)); err != nil {
			t.Fatal(err)
		}
	}
	if time.Since(start) < 30*time.Millisecond || client.Sent() != 4 {
		t.Error(time.Since(start), client.Sent())
	}
	if _, err := (&web.Client{MaxBytes: 5}).Get(url); osiris.AsError(err).Kind != osiris.KindData {
		t.Error(err)
	}
	if err := client.GetJSON(url, new(int)); osiris.AsError(err).Kind != osiris.KindData {
		t.Error(err)
	}
}
