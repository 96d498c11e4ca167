// One JSON string a line in, one JSON array a line out: encoding, parts, and whether a grapheme cluster in the text has
// several code points, which the calculator keeps together.
const { SegmentedMessage } = require('sms-segments-calculator');
const GraphemeSplitter = require('grapheme-splitter');

const splitter = new GraphemeSplitter();
const clustered = (text) =>
  splitter.splitGraphemes(text).some((cluster) => cluster !== '\r\n' && Array.from(cluster).length > 1);

require('readline')
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const text = JSON.parse(line);
    const message = new SegmentedMessage(text);
    console.log(JSON.stringify([message.encodingName, message.segmentsCount, clustered(text)]));
  });
