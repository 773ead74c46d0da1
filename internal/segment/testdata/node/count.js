// Reads a JSON list of texts on standard input and writes, one line each, the encoding and the number of segments.
const { SegmentedMessage } = require('sms-segments-calculator');
const chunks = [];
process.stdin.on('data', (c) => chunks.push(c));
process.stdin.on('end', () => {
  const texts = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const lines = texts.map((text) => {
    const m = new SegmentedMessage(text, 'auto', false);
    return `${m.encodingName} ${m.segmentsCount}`;
  });
  process.stdout.write(lines.join('\n') + '\n');
});
