package stream

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	encodingZstd = "zstd"
	// compressAbove is in bytes. The notifications of an envelope are alike, so that one of 100 shrinks to a few per cent: cheaper
	// to pack than to copy, hash, write and sync.
	compressAbove  = 16 << 10
	maxDecodedSize = 64 << 20 // bytes; four times the largest envelope that the door takes by default
)

// codec compresses and decompresses bodies. Its halves are made at first use: most processes never see a large body.
type codec struct {
	encoder func() (*zstd.Encoder, error)
	decoder func() (*zstd.Decoder, error)
}

func newCodec() *codec {
	return &codec{
		encoder: sync.OnceValues(func() (*zstd.Encoder, error) {
			return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		}),
		decoder: sync.OnceValues(newDecoder),
	}
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxDecodedSize), zstd.WithDecoderLowmem(true))
}

// encode returns the bytes to store and their encoding, "" when they are stored as they are.
func (c *codec) encode(body []byte) ([]byte, string, error) {
	switch {
	case len(body) <= compressAbove:
		return body, "", nil
	case len(body) > maxDecodedSize: // decode would not take it back
		return nil, "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), maxDecodedSize)
	}
	encoder, err := c.encoder()
	if err != nil {
		return nil, "", fmt.Errorf("start compression: %w", err)
	}
	packed := encoder.EncodeAll(body, make([]byte, 0, len(body)/4))
	if len(packed) >= len(body) {
		return body, "", nil
	}
	return packed, encodingZstd, nil
}

func (c *codec) decode(data []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return data, nil
	case encodingZstd:
		decoder, err := c.decoder()
		if err != nil {
			return nil, fmt.Errorf("start decompression: %w", err)
		}
		body, err := decoder.DecodeAll(data, nil)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return nil, fmt.Errorf("%w: its body is larger than %d bytes when decompressed: %w", ErrBadMessage, maxDecodedSize, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: its body cannot be decompressed: %w", ErrBadMessage, err)
		}
		return body, nil
	default:
		return nil, fmt.Errorf("%w: unknown encoding of its body", ErrBadMessage)
	}
}
