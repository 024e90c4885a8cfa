// A QR code as an SVG path, drawn here: the link goes to nobody.
export async function qr(text: string): Promise<{ path: string; size: number }> {
  const { encode } = await import('uqr');
  const { data, size } = encode(text, { border: 2 });
  let path = '';
  data.forEach((line, y) => line.forEach((dark, x) => dark && (path += `M${x} ${y}h1v1h-1z`)));
  return { path, size };
}
