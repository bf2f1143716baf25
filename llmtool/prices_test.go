package llmtool_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
)

// vendor is a dialect whose client sends a request and makes up the answer: of a
// model, and a million tokens each way.
func vendor(kind, model string) llmtool.Dialect {
	return llmtool.Dialect{Type: kind, Connect: func(a llmtool.Account) (llmtool.Client, error) {
		return vendorClient{a, model}, nil
	}}
}

type vendorClient struct {
	account llmtool.Account
	model   string
}

func (v vendorClient) Chat(ctx context.Context, _ llmtool.Request) (*llmtool.Reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.account.BaseURL, nil)
	if err != nil {
		return nil, err
	}
	res, err := v.account.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return &llmtool.Reply{Text: "hi", Model: v.model, Usage: llmtool.Tokens{Prompt: 1e6, Completion: 1e6}}, nil
}

func TestPrices(t *testing.T) {
	type prices = map[string]llmtool.Price
	for _, c := range []struct {
		kind, asked, answered string
		own                   prices
		want                  float64 // of a million tokens each way; -1: unknown
	}{
		{"openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", nil, 0.75},
		{"openai", "gpt-4o-mini-2024-07-18", "", nil, 0.75},
		{"openai", "gpt-4o", "gpt-4o-2024-08-06", nil, 12.5},
		{"openai", "gpt-4o", "gpt-4o-2024-05-13", nil, 20},
		{"openai", "gpt-4o-audio-preview", "", nil, -1},
		{"openai", "gpt-5", "gpt-5-2025-08-07", nil, 11.25},
		{"openai", "claude-haiku-4-5", "", nil, -1},
		{"anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", nil, 6},
		{"anthropic", "claude-opus-5-5", "", nil, 24},
		{"google", "gemini-2.5-flash", "", nil, 2.8},
		{"google", "gemini-2.5-pro", "", nil, -1}, // by the length of the prompt
		{"custom", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", nil, -1},
		{"custom", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", prices{"gpt-4o-mini": {1, 2}}, 3},
		{"custom", "m-20260102", "", prices{"m": {1, 2}}, 3},
		{"custom", "m", "m-20260102", prices{"m": {1, 2}, "m-20260102": {3, 4}}, 7},
		{"custom", "m", "another", prices{"m": {1, 2}}, 3},
		{"custom", "m-2026010", "", prices{"m": {1, 2}}, -1},
		{"openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", prices{"gpt-4o-mini": {}}, 0},
		{"openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", prices{"other": {1, 2}}, 0.75},
	} {
		t.Run(c.kind+" "+c.asked+" "+c.answered, func(t *testing.T) {
			body := strings.NewReplacer("gpt-4o-mini-2024-07-18", c.answered, `"prompt_tokens":12,"completion_tokens":3,"total_tokens":15`,
				`"prompt_tokens":1000000,"completion_tokens":1000000`).Replace(says("hi"))
			p := llmtool.Provider{ID: "main", Type: c.kind, BaseURL: "http://vendor.test", Model: c.asked, Pricing: c.own}
			var others []llmtool.Dialect
			if c.kind == "anthropic" || c.kind == "google" {
				others = []llmtool.Dialect{vendor(c.kind, c.answered)}
			}
			all, faults := llmtool.NewClients([]llmtool.Provider{p}, nil, nil, canned{200, http.Header{}, body}, others...)
			require.Empty(t, faults)
			answer, e := run(t, llmtool.Config{}, all)
			require.Nil(t, e)
			require.Equal(t, 2_000_000, answer.Usage.TotalTokens)
			if c.want < 0 {
				require.Nil(t, answer.Usage.EstimatedCost)
				return
			}
			require.NotNil(t, answer.Usage.EstimatedCost)
			require.Equal(t, c.want, *answer.Usage.EstimatedCost)
		})
	}
}
