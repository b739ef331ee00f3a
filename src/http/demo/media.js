// Microphone and camera: opening them, falling back to sound alone, and saying in words what went wrong.

/** No microphone, so no call. The message is for the person in front of the screen. */
export class MediaProblem extends Error {}

/**
 * Opens the microphone and, for a video call, the camera. A missing camera does not stop the call.
 * @returns {Promise<{stream: MediaStream, notice: string}>} the notice is empty if all went well
 * @throws {MediaProblem}
 */
export async function openMedia(callType) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MediaProblem(
      'The browser gives microphone and camera only to pages from https or localhost. This page came over plain http.',
    );
  }
  if (callType === 'video') {
    try {
      return { stream: await navigator.mediaDevices.getUserMedia({ audio: true, video: VIDEO }), notice: '' };
    } catch (error) {
      const stream = await openMicrophone();
      return { stream, notice: `${cameraWords(error)} The other side hears you but does not see you.` };
    }
  }
  return { stream: await openMicrophone(), notice: '' };
}

/** Opens the camera alone, to switch it back on during a call. */
export async function openCamera() {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: VIDEO });
    return stream.getVideoTracks()[0];
  } catch (error) {
    throw new MediaProblem(cameraWords(error));
  }
}

/** Stops every track, so that the camera light goes out. */
export function closeMedia(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' };

async function openMicrophone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new MediaProblem(microphoneWords(error));
  }
}

function microphoneWords(error) {
  switch (error.name) {
    case 'NotAllowedError':
      return "The microphone is not allowed for this page. Allow it in the browser's address bar and try again.";
    case 'NotFoundError':
      return 'No microphone was found on this device.';
    case 'NotReadableError':
      return 'The microphone is in use by another program.';
    default:
      return `The microphone could not be opened (${error.name}).`;
  }
}

function cameraWords(error) {
  switch (error.name) {
    case 'NotAllowedError':
      return 'The camera is not allowed for this page.';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'No camera was found on this device.';
    case 'NotReadableError':
      return 'The camera is in use by another program.';
    default:
      return `The camera could not be opened (${error.name}).`;
  }
}
