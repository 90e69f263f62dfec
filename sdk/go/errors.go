package osiris

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.osiris.dev/sdk/internal/host"
)

// Kind says what went wrong, and so who can fix it: KindConfig, KindAuth, KindDenied and KindNotFound are for the
// user; only KindRateLimited, KindTransient and KindTimeout are worth another attempt.
type Kind = host.Kind

// The kinds of errors.
const (
	KindConfig      = host.Config
	KindAuth        = host.Auth
	KindDenied      = host.Denied
	KindNotFound    = host.NotFound
	KindRateLimited = host.RateLimited
	KindTransient   = host.Transient
	KindTimeout     = host.Timeout
	KindData        = host.Data
	KindLimit       = host.Limit
	KindInternal    = host.Internal
	KindOther       = host.Other
)

// Error is a failure with its kind. A driver may return any error: an *Error inside it decides the kind, and the
// whole text is shown to the user. Other errors are KindInternal, except for timeouts and malformed JSON.
type Error = host.Error

// Errorf makes an error of a kind. As for fmt.Errorf, %w wraps another error. The message is one sentence for the
// user, in lower case and without a full stop: what was being done, to what, and why it failed.
func Errorf(kind Kind, format string, values ...any) *Error {
	wrapped := fmt.Errorf(format, values...)
	return &Error{Kind: kind, Message: wrapped.Error(), Cause: errors.Unwrap(wrapped)}
}

// AsError is any error as the host receives it: nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	var known *Error
	if errors.As(err, &known) {
		return &Error{Kind: known.Kind, Code: known.Code, Message: message, RetryAfter: known.RetryAfter, Cause: err}
	}
	kind := KindInternal
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	var slow interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		kind = KindTimeout
	case errors.As(err, &syntax), errors.As(err, &mismatch):
		kind = KindData
	}
	return &Error{Kind: kind, Message: message, Cause: err}
}
